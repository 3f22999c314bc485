"""What the policy says of the API to everyone (RFC 9728), or why it says nothing."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import UNSET

from portvakt.config.problems import Problems
from portvakt.config.schema import ApiTable, Configuration
from portvakt.http.origin import Origin
from portvakt.http.url import RefusedUrl, check_url
from portvakt.oauth.dpop import PROOF_ALGORITHMS
from portvakt.oauth.resource_metadata import (
    ResourceMetadata,
    authorization_servers,
    metadata_answers,
    metadata_paths,
)
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement
from portvakt.policy.routes import Route
from portvakt.policy.sender_constraint import SenderConstraint

__all__ = ["MAX_NAME", "check_metadata", "metadata_routes"]

#: Characters of the API's name for people.
MAX_NAME: Final = 256

#: What is of use in the metadata alone.
_SAID_THERE: Final = ("resource_name", "resource_documentation", "resource_policy_uri")


def check_metadata(
    api: ApiTable, origins: Sequence[Origin], rules: Iterable[Route], problems: Problems
) -> Origin | None:
    """Return the origin whose metadata is served; None: none is.

    It is served unless the policy says otherwise, where it can be: for one origin with https. That
    it cannot be is a mistake only where the policy asks for it, or states what only it would say.

    Parameters:
        api: the table.
        origins: what ``origin`` of it came to.
        rules: the routes of the policy; one with the same path comes first.
        problems: where to note what is wrong.
    """
    stated = [name for name in _SAID_THERE if getattr(api, name) is not UNSET]
    for name in stated:
        _check_said(name, getattr(api, name), problems)
    why = _why_not(api, origins, tuple(rules))
    if why is None:
        return origins[0]
    asked = ["metadata"] if api.metadata is True else []
    for name in (*asked, *stated):
        problems.add(f"api.{name}", why)
    return None


def _check_said(name: str, text: str, problems: Problems) -> None:
    if name == "resource_name":
        if len(text) > MAX_NAME or not text.isprintable():
            what = f"must be at most {MAX_NAME} characters that can be printed"
            problems.add(f"api.{name}", what)
        return
    try:
        check_url(text)
    except RefusedUrl as flaw:
        problems.add(f"api.{name}", f"must be the https URL of a page: {flaw}")


def _why_not(api: ApiTable, origins: Sequence[Origin], rules: Iterable[Route]) -> str | None:
    if api.metadata is False:
        return "is said in the API's metadata, which metadata = false keeps back"
    if not origins:
        return "needs [api] origin: metadata says where the API is"
    if len(origins) > 1:
        return "needs one [api] origin: metadata is of one, and nothing says which a client called"
    if origins[0].scheme != "https":
        return "needs an [api] origin with https (RFC 9728 section 1.2)"
    paths = metadata_paths(origins[0])
    for rule in rules:
        if rule.path in paths and (rule.methods is None or rule.methods & {"GET", "HEAD"}):
            return f"cannot be told, as a [[route]] has the path of the metadata: {rule.path}"
    return None


def metadata_routes(
    origin: Origin,
    configuration: Configuration,
    issuers: Iterable[TrustedIssuer],
    demands: Sequence[Requirement],
) -> Iterator[Route]:
    """Yield the rules that answer with the metadata, one for each path and method.

    Parameters:
        origin: what :func:`check_metadata` returned.
        configuration: the policy. What of it is wrong, nobody will be told.
        issuers: whose tokens are accepted.
        demands: what each route demands that is not public.
    """
    document = _metadata(origin, configuration, issuers, demands).document()
    for path in metadata_paths(origin):
        for method, answer in metadata_answers(document).items():
            yield Route(
                path=path,
                methods=frozenset({method}),
                public=True,
                requirement=Requirement.of(),
                answer=answer,
            )


def _metadata(
    origin: Origin,
    configuration: Configuration,
    issuers: Iterable[TrustedIssuer],
    demands: Sequence[Requirement],
) -> ResourceMetadata:
    api, algorithms = configuration.api, configuration.dpop.algorithms
    scopes = {scope for one in demands for scope in one.scopes | one.any_scopes}
    constraints = {one.sender_constraint for one in demands}
    proven = SenderConstraint.DPOP in constraints
    said = {name: getattr(api, name) for name in _SAID_THERE}
    return ResourceMetadata(
        resource=origin.text,
        authorization_servers=authorization_servers(one.issuer for one in issuers),
        # What a refusal does not tell, this does not.
        scopes_supported=tuple(sorted(scopes)) if api.disclose else (),
        dpop_signing_alg_values_supported=tuple(
            sorted(set(PROOF_ALGORITHMS if algorithms is UNSET else algorithms))
        )
        if proven
        else (),
        dpop_bound_access_tokens_required=constraints == {SenderConstraint.DPOP},
        tls_client_certificate_bound_access_tokens=SenderConstraint.MTLS in constraints,
        **{name: text for name, text in said.items() if text is not UNSET},
    )

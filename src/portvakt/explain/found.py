"""What was found at each check: shown, and not believed.

A token is read here as far as it can be read, whether or not anyone vouches for it, so that a
person can see what is wrong with it. Nothing is decided by it: the guard has decided already. Of a
few claims the values are shown, of the others only the names.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.explain.content import PARTS_OF_JWE, UnverifiedContent
from portvakt.explain.demands import demands
from portvakt.explain.shown import is_time, show, show_list, show_span, show_time, show_value
from portvakt.explain.texts import Words
from portvakt.guard.guard import Guard
from portvakt.http.request import HttpRequest
from portvakt.jose.header import ABSENT
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import MAX_TOKEN
from portvakt.policy.claims import is_missing
from portvakt.policy.decision import Decision
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.routes import path_of
from portvakt.refusal import Step

__all__ = ["Fact", "Scene", "find"]


class Scene(Struct, frozen=True):
    """All that the facts are drawn from.

    Attributes:
        guard: who decided.
        request: about what, or None if no request was named.
        decision: and how.
        content: what the token says.
        issuer: the policy of the issuer that it names, or None.
        keys: that issuer's keys, or None if the guard did not get as far.
        words: the language.
        by_reference: whether its issuer is asked about it.
        proven: whether a proof came with it.
    """

    guard: Guard
    request: HttpRequest | None
    decision: Decision
    content: UnverifiedContent
    issuer: TrustedIssuer | None
    keys: JwkSet | None
    words: Words
    by_reference: bool = False
    proven: bool = False


class Fact(Struct, frozen=True):
    """What was found at one check.

    Attributes:
        found: in words, or None where there is nothing to show.
        expected: what the policy wants there, or None.
    """

    found: str | None = None
    expected: str | None = None


def find(scene: Scene, step: Step) -> Fact:
    """Return what was found at one check, in words that are safe to print."""
    return _FINDERS[step](scene)


def _request(scene: Scene) -> Fact:
    request, words = scene.request, scene.words
    if request is None:
        return Fact()
    return Fact(f"{show(request.method, words)} {show(path_of(request.url), words)}")


def _route(scene: Scene) -> Fact:
    route, words = scene.decision.route, scene.words
    if route is None:
        return Fact()
    if route.path is None:
        return Fact(words.no_request if scene.guard.routes.rules else words.no_rules)
    methods = ", ".join(sorted(route.methods)) if route.methods is not None else words.any_method
    return Fact(f"{methods} {route.path}" + (f" ({words.public})" if route.public else ""))


def _credential(scene: Scene) -> Fact:
    scheme = "DPoP" if scene.proven else "Bearer"
    return Fact(f"{scheme}, {_count(scene.words.characters, scene.content.length)}")


def _form(scene: Scene) -> Fact:
    content, words = scene.content, scene.words
    found = words.parts.format(count=content.parts, length=content.length)
    if content.inside is not None:
        length, parts = content.inside
        found += f"; {words.inside.format(form=words.parts.format(count=parts, length=length))}"
    return Fact(found)


def _introspection(scene: Scene) -> Fact:
    words = scene.words
    return Fact(words.reference if scene.by_reference else words.self_contained)


def _decryption(scene: Scene) -> Fact:
    content, words = scene.content, scene.words
    if content.parts != PARTS_OF_JWE:
        return Fact(words.not_encrypted)
    outer = content.outer
    if outer is None:
        return Fact(words.unreadable)
    named = (show_value(outer[name], words) for name in ("alg", "enc") if name in outer)
    return Fact(", ".join(named) or words.absent)


def _header(scene: Scene) -> Fact:
    return Fact(_names(scene, scene.content.header))


def _issuer(scene: Scene) -> Fact:
    return Fact(_claim(scene, "iss"), show_list(sorted(scene.guard.issuers), scene.words))


def _type(scene: Scene) -> Fact:
    issuer = scene.issuer
    expected = None if issuer is None else show_list(sorted(issuer.types), scene.words)
    return Fact(_parameter(scene, "typ"), expected)


def _algorithm(scene: Scene) -> Fact:
    issuer = scene.issuer
    expected = None if issuer is None else show_list(sorted(issuer.algorithms), scene.words)
    return Fact(_parameter(scene, "alg"), expected)


def _key(scene: Scene) -> Fact:
    kid = _parameter(scene, "kid")
    header, keys = scene.content.header, scene.keys
    if keys is None or header is None:
        return Fact(kid)
    try:
        key = keys.select(header["alg"], header.get("kid"))
    except Refused:
        names = (key.kid or ABSENT for key in keys.keys)
        return Fact(kid, show_list(names, scene.words))
    return Fact(f"{kid}: {key.strength}")


def _signature(scene: Scene) -> Fact:
    octets = scene.content.signature
    return Fact(scene.words.unreadable if octets is None else _count(scene.words.octets, octets))


def _payload(scene: Scene) -> Fact:
    return Fact(_names(scene, scene.content.claims))


def _audience(scene: Scene) -> Fact:
    issuer = scene.issuer
    if issuer is None:
        return Fact(_claim(scene, "aud"))
    names = (issuer.audience, *sorted(issuer.other_audiences))
    return Fact(_claim(scene, "aud"), show_list(names, scene.words))


def _time(name: str) -> Callable[[Scene], Fact]:
    def find_time(scene: Scene) -> Fact:
        claims = scene.content.claims
        if claims is None or name not in claims:
            return Fact(_claim(scene, name))
        return Fact(show_time(claims[name], scene.decision.at, scene.words))

    return find_time


def _lifetime(scene: Scene) -> Fact:
    claims, words = scene.content.claims or {}, scene.words
    start, end = claims.get("iat"), claims.get("exp")
    found = (
        show_span(end - start, words) if is_time(start) and is_time(end) and end >= start else None
    )
    if scene.issuer is None:
        return Fact(found)
    return Fact(found, words.at_most.format(span=show_span(scene.issuer.max_lifetime, words)))


def _identifiers(scene: Scene) -> Fact:
    claims, issuer, words = scene.content.claims, scene.issuer, scene.words
    if claims is None or issuer is None:
        return Fact()
    # The names only: these are the claims that say who somebody is.
    required = sorted(issuer.required_claims)
    missing = [name for name in required if is_missing(claims.get(name))]
    there = [name for name in required if name not in missing]
    found = [show_list(there, words)] if there else []
    if missing:
        found.append(words.missing.format(names=show_list(missing, words)))
    if "client_id" in claims:
        found.append(f"client_id {show_value(claims['client_id'], words)}")
    return Fact("; ".join(found) or None, show_list(required, words) or None)


def _scope(scene: Scene) -> Fact:
    words = _scopes(scene)
    return Fact(_claim(scene, "scope") if words is None else show_list(words, scene.words))


def _revocation(scene: Scene) -> Fact:
    # Where nothing can be revoked, that is worth knowing.
    return Fact(None, None if scene.guard.parts.standing is not None else scene.words.irrevocable)


def _confirmation(scene: Scene) -> Fact:
    claims, words, route = scene.content.claims, scene.words, scene.decision.route
    constraint = None if route is None else route.requirement.sender_constraint
    expected = None if constraint is None else constraint.value
    if claims is None:
        return Fact(_no_content(scene), expected)
    if "cnf" not in claims:
        return Fact(words.unbound, expected)
    cnf = claims["cnf"]
    names = show_list(cnf, words) if isinstance(cnf, Mapping) else show_value(cnf, words)
    return Fact(words.bound.format(names=names), expected)


def _unseen(_scene: Scene) -> Fact:
    return Fact()


def _identity(scene: Scene) -> Fact:
    claims, issuer = scene.content.claims, scene.issuer
    if claims is None or issuer is None or issuer.identity is None:
        return Fact()
    # The names only, but for the level: the values say who somebody is.
    named = [name for name in issuer.identity.names if name in claims]
    return Fact(show_list(named, scene.words) or None)


def _register(scene: Scene) -> Fact:
    route = scene.decision.route
    names = () if route is None else route.requirement.registers
    return Fact(None, show_list(names, scene.words) or None)


def _authorization(scene: Scene) -> Fact:
    route, words = scene.decision.route, scene.words
    if route is None:
        return Fact()
    demanded = sorted(route.requirement.scopes)
    other = list(demands(route.requirement))
    if not demanded:
        return Fact(None, "; ".join(other) or words.no_scope)
    granted = _scopes(scene) or ()
    held = [scope for scope in demanded if scope in granted]
    missing = [scope for scope in demanded if scope not in granted]
    found = [show_list(held, words)] if held else []
    if missing:
        found.append(words.missing.format(names=show_list(missing, words)))
    return Fact("; ".join(found), "; ".join([show_list(demanded, words), *other]))


_FINDERS: Final[dict[Step, Callable[[Scene], Fact]]] = {
    Step.REQUEST: _request,
    Step.ROUTE: _route,
    Step.CREDENTIAL: _credential,
    Step.FORM: _form,
    Step.INTROSPECTION: _introspection,
    Step.DECRYPTION: _decryption,
    Step.HEADER: _header,
    Step.ISSUER: _issuer,
    Step.TYPE: _type,
    Step.ALGORITHM: _algorithm,
    Step.KEY: _key,
    Step.SIGNATURE: _signature,
    Step.PAYLOAD: _payload,
    Step.AUDIENCE: _audience,
    Step.EXPIRY: _time("exp"),
    Step.NOT_BEFORE: _time("nbf"),
    Step.ISSUED_AT: _time("iat"),
    Step.LIFETIME: _lifetime,
    Step.IDENTIFIERS: _identifiers,
    Step.SCOPE: _scope,
    Step.IDENTITY: _identity,
    Step.REVOCATION: _revocation,
    Step.CONFIRMATION: _confirmation,
    Step.AUTHORIZATION: _authorization,
    Step.REGISTER: _register,
    Step.RECORD: _unseen,
    Step.REPLAY: _unseen,
}


def _scopes(scene: Scene) -> list[str] | None:
    scope = (scene.content.claims or {}).get("scope")
    if isinstance(scope, str):
        return scope.split(" ") if scope else []
    if isinstance(scope, list) and all(isinstance(word, str) for word in scope):
        return scope
    return None


def _claim(scene: Scene, name: str) -> str:
    return _member(scene, scene.content.claims, name)


def _parameter(scene: Scene, name: str) -> str:
    return _member(scene, scene.content.header, name)


def _member(scene: Scene, members: Mapping[str, Any] | None, name: str) -> str:
    if members is None:
        return _no_content(scene)
    return show_value(members[name], scene.words) if name in members else scene.words.absent


def _names(scene: Scene, members: Mapping[str, Any] | None) -> str:
    return _no_content(scene) if members is None else show_list(members, scene.words)


def _no_content(scene: Scene) -> str:
    words = scene.words
    if scene.by_reference:
        return words.says_nothing
    return words.too_long if scene.content.length > MAX_TOKEN else words.unreadable


def _count(words: str, count: int) -> str:
    return words.format(count=count)

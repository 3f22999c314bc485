"""What is written down of one decision: who, in pseudonyms, wanted what, and which rule decided.

Nothing that a caller or an issuer can choose freely gets in. What is written is of five kinds:
texts of the policy (issuer, route, registers), words of a closed list (codes, methods, purposes),
numbers of organisations, which are public and were checked for their form, times, and keyed
pseudonyms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.records.purpose import purpose_of
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portvakt.policy.identifiers import OrganisationNumber
    from portvakt.policy.routes import Route, Routes
    from portvakt.policy.token import AccessToken
    from portvakt.records.key import RecordKey

__all__ = ["Describer", "Holder", "Kind", "Noted", "Record", "places_of"]


class Kind:
    """What a record is: the words that stand in its ``kind``."""

    #: The first of a chain: which writer begins, and which chains it found beside its own.
    START: Final = "start"
    #: The first of each further file of a chain.
    PART: Final = "part"
    #: A decision of the guard.
    DECISION: Final = "decision"
    #: How many decisions are missing here, because there was no room for them.
    LOST: Final = "lost"
    #: The last of a chain whose writer was stopped in good order.
    END: Final = "end"


class Holder(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a verified token says of its holder.

    Attributes:
        issuer: who issued it, as the policy names him.
        level: the security level, 0 to 4.
        person: the pseudonym of the national identity number.
        hpr: that of the number in the register of health personnel.
        subject: that of ``sub``; None where that is the client, who acts for itself.
        client: that of ``client_id``.
        token: that of ``jti``.
        organisation: the number of the main unit, in the clear: it is public.
        child: that of the sub-unit.
        supplier: that of the supplier.
        purpose: for what the data is wanted, a code of HL7's PurposeOfUse, as the client states it.
        bound: whether the token is bound to a key or a certificate.
        by_reference: whether its issuer was asked about it.
        encrypted: whether it came encrypted.
    """

    issuer: str
    level: int
    person: str | None = None
    hpr: str | None = None
    subject: str | None = None
    client: str | None = None
    token: str | None = None
    organisation: str | None = None
    child: str | None = None
    supplier: str | None = None
    purpose: str | None = None
    bound: bool = False
    by_reference: bool = False
    encrypted: bool = False


class Record(Struct, frozen=True, omit_defaults=True, gc=False):
    """One record, as it is written and read: JSON on one line.

    Attributes:
        writer: who wrote it: one run of one process.
        n: which one of the writer's it is, from 0 on.
        kind: what it is.
        key: names the secret that its pseudonyms and its link are made with.
        at: when, in seconds since 1970, by the guard's clock.
        outcome: ``admitted`` or ``refused``.
        method: the HTTP method; ``other`` for one that is no method of a standard or the policy.
        route: the path of the rule that decided, as the policy writes it: never the request's own.
        rule: where that rule stands in the policy.
        public: whether the rule is for everyone, so that no token was looked at.
        code: why it was refused.
        step: which check that was.
        status: the HTTP status of the answer.
        holder: what the verified token says; None where none was verified.
        unconfirmed: registers that gave no answer and were passed over, as the policy says.
        again: whether it is a further decision about the same request.
        count: of ``lost``: how many decisions are missing.
        part: of ``start`` and ``part``: which file of the writer's this is, from 0 on.
        after: of ``part``: the link of the record before it, which is in another file.
        api: of ``start`` and ``part``: which API, as the policy names it.
        version: likewise: of Portvakt.
        others: of ``start``: where the chains stood that lay in the same place.
    """

    writer: str
    n: int
    kind: str
    key: str
    at: float
    outcome: str | None = None
    method: str | None = None
    route: str | None = None
    rule: str | None = None
    public: bool = False
    code: str | None = None
    step: str | None = None
    status: int | None = None
    holder: Holder | None = None
    unconfirmed: tuple[str, ...] = ()
    again: bool = False
    count: int | None = None
    part: int | None = None
    after: str | None = None
    api: str | None = None
    version: str | None = None
    others: tuple[tuple[str, int, str], ...] = ()


#: What the guard's path hands over: time, method, route, code, token, registers that were passed
#: over, and whether it is a further decision. All of it is read-only.
Noted = tuple[
    float, str, "Route | None", "Code | None", "AccessToken | None", tuple[str, ...], bool
]

#: RFC 9110 section 9, RFC 5789, RFC 9205's registry: a caller may send any other word.
_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)

_OF_CODE: Final = {code: (code.value, code.step.name.lower(), code.status) for code in Code}

#: Tokens whose description is remembered. Each is as old as the guard's own memory of it at most.
_REMEMBERED: Final = 4096


class Describer:
    """Makes records of what was noted.

    Parameters:
        key: the secret.
        places: where each rule stands in the policy, by the rule's identity (:func:`places_of`).

    Attributes:
        key: names the secret.
    """

    def __init__(self, key: RecordKey, places: Mapping[int, str]) -> None:
        self.key = key.id
        self._pseudonyms = key.pseudonyms
        self._places = places
        # By identity, with the token itself, so that no other can have the same one meanwhile.
        self._holders: dict[int, tuple[AccessToken, Holder]] = {}

    def describe(self, writer: str, n: int, noted: Noted) -> Record:
        """Return the record of a decision.

        Parameters:
            writer: who writes it.
            n: its number.
            noted: the decision.
        """
        at, method, route, refusal, token, unconfirmed, again = noted
        if refusal is None:
            outcome, code, step, status = "admitted", None, None, None
        else:
            outcome = "refused"
            code, step, status = _OF_CODE[refusal]
        path = place = None
        public = False
        if route is not None:
            path, place, public = route.path, self._places.get(id(route)), route.public
            known = method in _METHODS or (route.methods is not None and method in route.methods)
        else:
            known = method in _METHODS
        return Record(
            writer, n, Kind.DECISION, self.key, at, outcome,
            method if known else "other", path, place, public, code, step, status,
            None if token is None else self._holder(token), unconfirmed, again,
        )  # fmt: skip  # Every field by its place, in its order.

    def _holder(self, token: AccessToken) -> Holder:
        found = self._holders.get(id(token))
        if found is not None:
            return found[1]
        holder = self._describe_holder(token)
        if len(self._holders) >= _REMEMBERED:
            self._holders.clear()
        self._holders[id(token)] = token, holder
        return holder

    def _describe_holder(self, token: AccessToken) -> Holder:
        identity, issuer = token.identity, token.issuer
        named, of = self._pseudonyms.named, self._pseudonyms.of
        client = token.client_id
        subject = None if token.subject == client else token.subject
        organisation = identity.organisation
        parent = child = supplier = None
        if organisation is not None:
            parent = _number(organisation.parent)
            child = _number(organisation.child)
            supplier = _number(organisation.supplier)
        return Holder(
            issuer=issuer,
            level=identity.security_level,
            person=None if identity.pid is None else of(identity.pid),
            hpr=None if identity.hpr_number is None else of(identity.hpr_number),
            subject=None if subject is None else named("subject", issuer, subject),
            client=None if client is None else named("client", issuer, client),
            token=None if token.token_id is None else named("token", issuer, token.token_id),
            organisation=parent,
            child=child,
            supplier=supplier,
            purpose=purpose_of(identity.trust_framework),
            bound=token.confirmation is not None,
            by_reference=token.by_reference,
            encrypted=token.encrypted,
        )


def places_of(routes: Routes) -> dict[int, str]:
    """Return where each rule stands in the policy, by the identity of the rule."""
    places = {id(rule): f"route[{index}]" for index, rule in enumerate(routes.rules)}
    places[id(routes.everywhere)] = "api"
    return places


def _number(organisation: OrganisationNumber | None) -> str | None:
    return None if organisation is None else organisation.number

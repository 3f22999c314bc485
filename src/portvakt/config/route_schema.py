"""The ``[[route]]`` tables of the policy file, as plain data: what each request must carry."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.policy.requirement import IDENTITIES, MAX_LEVEL
from portvakt.policy.sender_constraint import SENDER_CONSTRAINTS
from portvakt.policy.sensitivity import Sensitivity

__all__ = [
    "CARRIED",
    "IdentityName",
    "IgnoredName",
    "Level",
    "RouteTable",
    "RuleTable",
    "Scope",
    "SenderConstraintName",
    "SensitivityName",
]

_Text = Annotated[str, Meta(min_length=1)]
Scope = Annotated[str, Meta(pattern=r"^[!#-\[\]-~]+$")]
_Method = Annotated[str, Meta(pattern="^[A-Z]+(-[A-Z]+)*$")]
_Methods = Annotated[tuple[_Method, ...], Meta(min_length=1)]

#: A number of seconds; in the file, text like ``5s``.
_Duration = float

_SENSITIVITY: Final = {"enum": [one.value for one in Sensitivity]}
SensitivityName = Annotated[str, Meta(extra_json_schema=_SENSITIVITY)]
SenderConstraintName = Annotated[str, Meta(extra_json_schema={"enum": list(SENDER_CONSTRAINTS)})]
Level = Annotated[int, Meta(ge=0, le=MAX_LEVEL)]
IdentityName = Annotated[str, Meta(extra_json_schema={"enum": list(IDENTITIES)})]
#: What a profile may carry, and a route must decide about.
CARRIED: Final = ("security_level", "pid", "hpr_number", "organisation")
IgnoredName = Annotated[str, Meta(extra_json_schema={"enum": list(CARRIED)})]
_Scalar = str | int | float | bool


class RuleTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: a claim with present, equals, one_of or at_least; or any_of, or all_of."""

    claim: Annotated[
        _Text | tuple[_Text, ...] | UnsetType,
        Meta(description="The claim; a list of names leads into an object."),
    ] = UNSET
    present: Annotated[
        bool | UnsetType, Meta(description="true: the claim is there, and is not empty.")
    ] = UNSET
    equals: Annotated[
        _Scalar | UnsetType,
        Meta(description="The claim, or one element of it, is this value."),
    ] = UNSET
    one_of: Annotated[
        tuple[_Scalar, ...] | UnsetType,
        Meta(description="The claim, or one element of it, is one of these values."),
    ] = UNSET
    at_least: Annotated[
        int | float | UnsetType, Meta(description="The claim is a number of at least this.")
    ] = UNSET
    any_of: Annotated[
        tuple["RuleTable", ...] | UnsetType, Meta(description="At least one of these rules holds.")
    ] = UNSET
    all_of: Annotated[
        tuple["RuleTable", ...] | UnsetType, Meta(description="Every one of these rules holds.")
    ] = UNSET


class RouteTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: which requests it is for, and what it demands of them."""

    path: Annotated[
        str,
        Meta(
            description="An exact path, or a template: {name} takes one segment, {name:path} the "
            "rest of the path.",
            pattern="^/",
        ),
    ]
    methods: Annotated[
        _Methods | UnsetType,
        Meta(description="The methods it is for; every method if left out."),
    ] = UNSET
    scopes: Annotated[
        tuple[Scope, ...],
        Meta(description="Scopes that a token must have, all of them, on top of those of [api]."),
    ] = ()
    any_scopes: Annotated[
        tuple[Scope, ...],
        Meta(description="Scopes of which a token must have one."),
    ] = ()
    sensitivity: Annotated[
        SensitivityName | UnsetType,
        Meta(description="How sensitive the data of this route is, if not what [api] says."),
    ] = UNSET
    security_level: Annotated[
        Level | UnsetType,
        Meta(description="The lowest security level that will do; not below that of [api]."),
    ] = UNSET
    max_authentication_age: Annotated[
        _Duration | UnsetType,
        Meta(description="How long ago the person may have signed in."),
    ] = UNSET
    require: Annotated[
        tuple[IdentityName, ...],
        Meta(description="What a token must say, on top of what [api] requires."),
    ] = ()
    ignore: Annotated[
        tuple[IgnoredName, ...],
        Meta(description="What this route does not need, though tokens may say it."),
    ] = ()
    clients: Annotated[
        tuple[_Text, ...] | UnsetType,
        Meta(description="The only clients that will do, by client_id."),
    ] = UNSET
    organisations: Annotated[
        tuple[_Text, ...] | UnsetType,
        Meta(description="The only organisations that will do, by number."),
    ] = UNSET
    suppliers: Annotated[
        tuple[_Text, ...] | UnsetType,
        Meta(description="The only suppliers that may act for an organisation, by number."),
    ] = UNSET
    units: Annotated[
        dict[str, tuple[str, ...]],
        Meta(
            description="By an organisation's number, the only sub-units of it that will do. An "
            "organisation that is not listed has none."
        ),
    ] = {}
    claims: Annotated[
        tuple[RuleTable, ...],
        Meta(description="Rules about claims; all must hold."),
    ] = ()
    matches_request: Annotated[
        dict[str, str],
        Meta(
            description="What a token says and the request must name alike: pid, hpr_number, "
            "organisation, organisation_child, supplier, subject or client_id = path.NAME, "
            "query.NAME or header.NAME."
        ),
    ] = {}
    registers: Annotated[
        tuple[_Text, ...],
        Meta(description="The registers that must know whom the token speaks of, by name."),
    ] = ()
    unsafe_on_unavailable: Annotated[
        str,
        Meta(
            description="What to do when a register cannot be asked: refuse, or admit and say so.",
            extra_json_schema={"enum": ["refuse", "admit"]},
        ),
    ] = "refuse"
    sender_constraint: Annotated[
        SenderConstraintName | UnsetType,
        Meta(
            description="How a sender proves that a token is theirs, if not as [api] says: none "
            "(Bearer), dpop or mtls. A route takes one of them."
        ),
    ] = UNSET
    require_encryption: Annotated[
        bool | UnsetType,
        Meta(
            description="Whether only tokens will do that came encrypted, or are references; if "
            "not as [api] says."
        ),
    ] = UNSET
    unsafe_on_stale: Annotated[
        str,
        Meta(
            description="What to do while it is not known what was revoked lately: refuse, or "
            "admit.",
            extra_json_schema={"enum": ["refuse", "admit"]},
        ),
    ] = "refuse"
    public: Annotated[
        bool,
        Meta(description="Whether it admits everyone, without a token."),
    ] = False

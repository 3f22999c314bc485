"""The ``[dpop]`` table of the policy file, as plain data: what proofs must be like."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.secrets_schema import SecretTable
from portvakt.oauth.dpop import PROOF_ALGORITHMS

__all__ = ["DpopTable"]

_Algorithm = Annotated[str, Meta(extra_json_schema={"enum": list(PROOF_ALGORITHMS)})]

#: A number of seconds; in the file, text like ``5s``.
_Duration = float


class DpopTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Proofs of possession (DPoP, RFC 9449), where a route asks for them."""

    algorithms: Annotated[
        Annotated[tuple[_Algorithm, ...], Meta(min_length=1)] | UnsetType,
        Meta(
            description="The signature algorithms that proofs may have; without it all that fit "
            "into a header. There is no 'none', and no algorithm with a shared secret."
        ),
    ] = UNSET
    max_age: Annotated[_Duration, Meta(description="How old a proof may be, at most 300s.")] = 30.0
    max_ahead: Annotated[
        _Duration,
        Meta(description="How far ahead of our clock a proof may be made, at most 60s."),
    ] = 5.0
    nonce_keys: Annotated[
        tuple[SecretTable, ...],
        Meta(
            description="Where the secrets are that nonces are made with, each of at least 32 "
            "octets and the same in every process. The first one makes them, all of them check. "
            "With any, a proof needs a nonce that this API gave."
        ),
    ] = ()
    nonce_lifetime: Annotated[
        _Duration,
        Meta(description="How long a nonce may be used, from 10s to 1h."),
    ] = 300.0

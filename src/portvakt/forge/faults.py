"""The near misses: tokens that are wrong in one thing and right in everything else.

One row for each, with its id in the catalogue of attacks and the reason for which it is refused.
Everything but the fault is as an honest issuer writes it and is signed with the issuer's own key,
unless the fault is the signature: so a validator that leaves out one check lets one of these in,
and the row says which check that is.
"""

from typing import Final

from portvakt.forge.claim_faults import CLAIM_FAULTS
from portvakt.forge.fault import Fault, Forgery
from portvakt.forge.form_faults import FORM_FAULTS
from portvakt.forge.header_faults import HEADER_FAULTS
from portvakt.forge.identity_faults import IDENTITY_FAULTS
from portvakt.forge.signature_faults import SIGNATURE_FAULTS

__all__ = ["FAULTS", "Fault", "Forgery"]

FAULTS: Final[tuple[Fault, ...]] = (
    *SIGNATURE_FAULTS,
    *HEADER_FAULTS,
    *FORM_FAULTS,
    *CLAIM_FAULTS,
    *IDENTITY_FAULTS,
)
"""Every near miss, with an ``id`` of its own."""

"""For what a client says that it wants the data: one word of a closed list, or nothing.

Norsk Helsenett's trust framework (*tillitsrammeverk*) has it in ``care_relationship``, which its
specification also calls ``care_relation``, as ``purpose_of_use`` with a ``code`` of HL7's value set
PurposeOfUse (2.16.840.1.113883.1.11.20448). A client writes what it likes there, a patient's number
perhaps: so only codes of that value set are believed to be one, and none of them has a digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PURPOSES", "purpose_of"]

#: The codes of HL7's v3 PurposeOfUse, which are of the code system ActReason.
PURPOSES: Final = frozenset(
    {
        "PurposeOfUse", "HMARKT", "HOPERAT", "CAREMGT", "DONAT", "FRAUD", "GOV", "HACCRED",
        "HCOMPL", "HDECD", "HDIRECT", "HDM", "HLEGAL", "HOUTCOMS", "HPRGRP", "HQUALIMP",
        "HSYSADMIN", "LABELING", "METAMGT", "MEMADMIN", "MILCDM", "PATADMIN", "PATSFTY",
        "PERFMSR", "RECORDMGT", "SYSDEV", "HTEST", "TRAIN", "HPAYMT", "CLMATTCH", "COVAUTH",
        "COVERAGE", "ELIGDTRM", "ELIGVER", "ENROLLM", "MILDCRG", "REMITADV", "HRESCH", "BIORCH",
        "CLINTRCH", "CLINTRCHNPC", "CLINTRCHPC", "PRECLINTRCH", "DSRCH", "POARCH", "TRANSRCH",
        "PATRQT", "FAMRQT", "PWATRNY", "SUPNWK", "PUBHLTH", "DISASTER", "THREAT", "TREAT",
        "CLINTRL", "COC", "ETREAT", "BTG", "ERTREAT", "POPHLTH",
    }
)  # fmt: skip


def purpose_of(trust_framework: Mapping[str, object] | None) -> str | None:
    """Return the purpose that a client states; None if it states none that is known.

    Does not check that it is true: no issuer vouches for it.
    """
    if trust_framework is None:
        return None
    for relation in ("care_relationship", "care_relation"):
        stated = _member(trust_framework.get(relation), "purpose_of_use")
        code = _member(stated, "code") if isinstance(stated, Mapping) else stated
        if isinstance(code, str) and code in PURPOSES:
            return code
    return None


def _member(found: object, name: str) -> object:
    return found.get(name) if isinstance(found, Mapping) else None

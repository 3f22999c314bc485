"""The closed list of what is read when somebody asks for metrics: names, words, labels."""

from enum import Enum
from typing import Final, NamedTuple

__all__ = ["FAMILIES", "Family", "Merge"]


class Merge(Enum):
    """What several processes come to together."""

    SUM = "sum"
    MOST = "most"
    LEAST = "least"


class Family(NamedTuple):
    """Values of one kind.

    Attributes:
        text: what they say, for the reader of a page of metrics.
        labels: what tells them apart; each has values from the policy alone.
        merge: what several processes come to: of an age the greatest.
        counter: whether it only ever grows.
    """

    text: str
    labels: tuple[str, ...] = ()
    merge: Merge = Merge.MOST
    counter: bool = False


def _counted(text: str, *labels: str) -> Family:
    return Family(text, labels, Merge.SUM, counter=True)


#: By name, as Prometheus wants it; a counter without its ``_total``.
FAMILIES: Final[dict[str, Family]] = {
    "portvakt_ready": Family(
        "Whether every issuer's keys are there and what was revoked is known: 1 or 0.",
        merge=Merge.LEAST,
    ),
    "portvakt_keys_usable": Family(
        "Keys of an issuer that tokens can be verified with.", ("issuer",), Merge.LEAST
    ),
    "portvakt_keys_age_seconds": Family(
        "Since the keys of an issuer were asked for. None for keys that the policy states.",
        ("issuer",),
    ),
    "portvakt_keys_hard_limit_seconds": Family(
        "The age at which the keys of an issuer are used no more.", ("issuer",), Merge.LEAST
    ),
    "portvakt_keys_failing": Family(
        "Whether the keys of an issuer could not be renewed the last time: 1 or 0.", ("issuer",)
    ),
    "portvakt_issuer_clock_offset_seconds": Family(
        "By how much an issuer's clock is ahead of ours.", ("issuer",)
    ),
    "portvakt_revocation_age_seconds": Family(
        "Since what was revoked was known in full. Refused from the maximum on."
    ),
    "portvakt_revocation_max_staleness_seconds": Family(
        "The age from which on requests are refused.", merge=Merge.LEAST
    ),
    "portvakt_revocation_stale": Family(
        "Whether requests are refused as it is not known what was revoked: 1 or 0."
    ),
    "portvakt_revocation_pushed": Family(
        "Whether the store tells of revocations as they are written: 1 or 0.", merge=Merge.LEAST
    ),
    "portvakt_revocation_entries": Family("Things that are revoked."),
    "portvakt_status_list_age_seconds": Family(
        "Since the oldest status list in use of an issuer was asked for.", ("issuer",)
    ),
    "portvakt_status_list_failing": Family(
        "Status lists of an issuer that could not be renewed the last time.", ("issuer",)
    ),
    "portvakt_events_age_seconds": Family(
        "Since the last complete poll of an issuer's events began.", ("issuer",)
    ),
    "portvakt_events_taken": _counted("Security events that were taken.", "issuer"),
    "portvakt_events_refused": _counted("Security events that were not acceptable.", "issuer"),
    "portvakt_events_unusable": _counted(
        "Security events that named what they revoke as no token does.", "issuer"
    ),
    "portvakt_introspection_questions": Family(
        "Questions to an issuer about reference tokens that are asked or in wait.",
        ("issuer",),
        Merge.SUM,
    ),
    "portvakt_introspection_answer_age_seconds": Family(
        "Since an issuer last answered about a reference token.", ("issuer",), Merge.LEAST
    ),
    "portvakt_introspection_failing": Family(
        "Whether an issuer did not answer the last time: 1 or 0.", ("issuer",)
    ),
    "portvakt_register_age_seconds": Family("How old what a register holds is.", ("register",)),
    "portvakt_register_entries": Family("What a register holds or remembers.", ("register",)),
    "portvakt_register_failing": Family(
        "Whether a register could not answer, or be read anew, the last time: 1 or 0.",
        ("register",),
    ),
    "portvakt_replay_uses": Family("Used proofs that the store remembers.", ("kind",)),
    "portvakt_store_failing": Family(
        "Whether the store gave no answer the last time: 1 or 0.", ("kind",)
    ),
    "portvakt_policy_generation": Family(
        "How many policies were loaded one after the other, the present one included.",
        merge=Merge.LEAST,
    ),
    "portvakt_policy_loaded_timestamp_seconds": Family(
        "When the present policy was loaded, in seconds since 1970.", merge=Merge.LEAST
    ),
    "portvakt_policy_reloads": _counted("Attempts to load a policy anew.", "result"),
    "portvakt_log_lines_lost": _counted(
        "Lines of the log of decisions that found no room or could not be written."
    ),
}

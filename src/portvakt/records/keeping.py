"""Decision records on their way: noted on the path of a request, and written elsewhere."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet, finalize

from portvakt.errors import Unavailable
from portvakt.home import after_fork
from portvakt.records.chain import Chain
from portvakt.records.record import Describer
from portvakt.records.writer import RecordsHealth, Writer
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portvakt.http.request import HttpRequest
    from portvakt.policy.decision import Decision
    from portvakt.policy.token import AccessToken
    from portvakt.records.key import RecordKey
    from portvakt.records.sinks import Sink

__all__ = ["DecisionRecords"]

_log: Final = logging.getLogger("portvakt.records")


class DecisionRecords:
    """Keeps a record of every decision of one guard.

    Each process has a writer of its own, which begins at first need: so a guard that was made
    before a fork is good in every child.

    Parameters:
        make_sink: makes what keeps the records, one for each writer.
        key: the secret.
        places: where each rule stands in the policy, by the rule's identity.
        api: the name of the API.
        version: of this software.
        clock: seconds since 1970.
        max_behind: seconds. While records are further behind, :meth:`check` raises.
        admit_unrecorded: whether it does not, as the policy says by name.
    """

    def __init__(
        self,
        make_sink: Callable[[], Sink],
        *,
        key: RecordKey,
        places: Mapping[int, str],
        api: str,
        version: str,
        clock: Callable[[], float],
        max_behind: float,
        admit_unrecorded: bool = False,
    ) -> None:
        self._make_sink = make_sink
        self._key = key
        self._places = places
        self._head = (api, version)
        self._clock = clock
        self._max_behind = max_behind
        self._admit_unrecorded = admit_unrecorded
        self.start_afresh()
        _every.add(self)

    def start_afresh(self) -> None:
        """Forget the writer without a word to it: after a fork it is the parent's."""
        self._lock = threading.Lock()
        self._writer: Writer | None = None

    def note(self, request: HttpRequest, decision: Decision, token: AccessToken | None) -> None:
        """Have a decision written down. Never waits, and raises nothing.

        Parameters:
            request: what was decided about: its method is all that is kept of it.
            decision: the decision.
            token: the token that was verified, if one was, also where it did not admit.
        """
        refusal = decision.refusal
        writer = self._writer
        if writer is None or writer.ended:
            try:
                writer = self._begin()
            except Unavailable:
                # Said in the log already; and nobody is admitted, as check() raises as well.
                return
        writer.note(
            (
                decision.at,
                request.method,
                decision.route,
                None if refusal is None else refusal.code,
                token,
                decision.unconfirmed,
                decision.again,
            )
        )

    def check(self) -> None:
        """See that what is decided now will be written down.

        Raises:
            Unavailable: ``records_unavailable``, unless the policy admits what cannot be recorded.
        """
        if self._admit_unrecorded:
            return
        writer = self._writer
        if writer is None or writer.ended:
            writer = self._begin()
        writer.check(self._max_behind)

    def open(self) -> None:
        """Begin, so that what is wrong shows before the first request. Raises nothing."""
        if self._writer is None or self._writer.ended:
            with suppress(Unavailable):
                self._begin()

    def close(self) -> None:
        """Write what is left, and the end of the chain; waits for it, but not for ever."""
        writer = self._writer
        if writer is not None:
            writer.stop()

    def health(self) -> RecordsHealth:
        """Say how they are. Never waits."""
        writer = self._writer
        return RecordsHealth() if writer is None else writer.health()

    def __repr__(self) -> str:
        return f"DecisionRecords({self._key.id})"

    def _begin(self) -> Writer:
        with self._lock:
            writer = self._writer
            if writer is None or writer.ended:
                writer = Writer(
                    self._make_sink(),
                    Chain(self._key),
                    Describer(self._key, self._places),
                    head=self._head,
                    clock=self._clock,
                )
                try:
                    writer.start()
                except RuntimeError:
                    no_thread = "no thread can be started that writes decisions down"
                    _log.error("%s", no_thread)
                    raise Unavailable(Code.RECORDS_UNAVAILABLE, no_thread) from None
                # When nobody has the guard any more, and else when the process ends.
                finalize(self, writer.stop)
                self._writer = writer
            return writer


_every: Final[WeakSet[DecisionRecords]] = WeakSet()


def _leave_to_the_parent() -> None:
    # Its thread is not here, and another of its threads may have held the lock.
    for records in _every:
        records.start_afresh()


after_fork(_leave_to_the_parent)

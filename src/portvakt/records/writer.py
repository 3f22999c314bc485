"""The thread that writes decision records.

A request pays for one entry in a queue. The thread takes what is there, a few times a second,
describes it, seals it and hands it to the sink. So a process that is killed loses what it decided
since the last time: :data:`PAUSE`, and what the sink takes to write.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import Unavailable
from portvakt.jose.encoding import encode_base64url
from portvakt.records.record import Kind, Record
from portvakt.records.sinks import SinkError
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from portvakt.records.chain import Chain, Head, Sealed
    from portvakt.records.record import Describer, Noted
    from portvakt.records.sinks import Sink

__all__ = ["CAPACITY", "PAUSE", "RecordsHealth", "Writer"]

_log: Final = logging.getLogger("portvakt.records")

#: Seconds between two times that the thread looks for what was noted, while there is anything.
PAUSE: Final = 0.05

#: Seconds until a sink that failed is asked again.
_AGAIN: Final = 0.25

#: Decisions that are described at once: the thread holds the interpreter for so long.
_BATCH: Final = 256

#: Decisions that wait at most. More are counted and not kept.
CAPACITY: Final = 50_000

#: Seconds that the end of a process waits for the last records.
_FAREWELL: Final = 5.0


class RecordsHealth(Struct, frozen=True, kw_only=True):
    """How the records of one process are.

    Attributes:
        behind: seconds by which they may be behind; 0 if all are written.
        waiting: decisions that are not written yet.
        lost: decisions that were not kept.
        last_error: why they could not be written the last time; None if they could.
    """

    behind: float = 0.0
    waiting: int = 0
    lost: int = 0
    last_error: str | None = None


class Writer:
    """One chain, the thread that appends to it, and the queue that it takes from.

    Parameters:
        sink: what keeps the records.
        chain: a new one.
        describer: makes records of decisions.
        head: the name of the API, and the version of this software.
        clock: seconds since 1970.

    Attributes:
        since: when the oldest decision was noted that is not written, or before, by the monotonic
            clock; None if all are.
        ended: whether it takes no more.
    """

    def __init__(
        self,
        sink: Sink,
        chain: Chain,
        describer: Describer,
        *,
        head: tuple[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._sink = sink
        self._chain = chain
        self._describer = describer
        self._head = head
        self._clock = clock
        self._queue: deque[Noted] = deque()
        self._awake = False
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._overflow = threading.Lock()
        self._uncounted = 0
        self._lost = 0
        self._part = 0
        self._others: tuple[Head, ...] = ()
        self._error: str | None = None
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="portvakt-records", daemon=True)
        self.since: float | None = None
        self.ended = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def note(self, noted: Noted) -> None:
        """Put a decision into the queue, or count it if there is no room. Never waits."""
        if len(self._queue) >= CAPACITY:
            self._lose(1)
            return
        self._queue.append(noted)
        if not self._awake:
            self._awake = True
            self.since = monotonic()
            self._wake.set()

    def check(self, max_behind: float) -> None:
        """See that what is noted now will be written, and soon. Never waits.

        Raises:
            Unavailable: ``records_unavailable``.
        """
        since = self.since
        if self._error is not None:
            raise Unavailable(Code.RECORDS_UNAVAILABLE, self._error, retry_after=1)
        if since is None:
            return
        if monotonic() - since > max_behind:
            late = "decisions are not written down in time"
            raise Unavailable(Code.RECORDS_UNAVAILABLE, late, retry_after=1)
        if len(self._queue) >= CAPACITY:
            full = "too many decisions wait to be written down"
            raise Unavailable(Code.RECORDS_UNAVAILABLE, full, retry_after=1)

    def health(self) -> RecordsHealth:
        """Say how it is. Never waits."""
        since = self.since
        return RecordsHealth(
            behind=0.0 if since is None else monotonic() - since,
            waiting=len(self._queue),
            lost=self._lost,
            last_error=self._error,
        )

    def stop(self) -> None:
        """Have what is left written, and the end of the chain. Waits for it, but not for ever."""
        if self._pid == os.getpid():
            # In a child it is the parent's, and its locks may be held by nobody who is here.
            self._stop.set()
            self._wake.set()
            if threading.current_thread() is not self._thread:
                self._thread.join(_FAREWELL)

    def _lose(self, count: int) -> None:
        with self._overflow:
            self._uncounted += count
            self._lost += count

    # From here on it is the thread.

    def _run(self) -> None:
        try:
            if self._opened():
                while self._round():
                    pass
        except Exception as error:  # noqa: BLE001  a fault of ours must show, and hold no token
            self._error = f"the writer of records failed: {type(error).__name__}"
            self.since = monotonic()
            _log.error("%s", self._error)
            return
        self.ended = True
        missing = len(self._queue) + self._uncounted
        if missing:
            _log.error("%d decisions were not written down: the process ends", missing)
        self._sink.close()

    def _round(self) -> bool:
        """Write what there is, or wait until there is something; return whether to go on."""
        began = monotonic()
        if self._queue or self._uncounted:
            if not self._drain():
                return False
            self.since = began
            self._stop.wait(PAUSE)
            return True
        if self._stop.is_set():
            if self.ended:
                self._written([self._record(Kind.END)])
                return False
            # What comes from now on is another writer's; what came just before is still ours.
            self.ended = True
            return True
        self._awake, self.since = False, None
        if self._queue:
            # Noted between the two, by somebody who saw us awake.
            self._awake, self.since = True, began
            return True
        if not self._wake.wait(self._sink.unsettled()):
            return self._persist(self._sink.settle)
        self._wake.clear()
        # What comes next is written with it.
        self._stop.wait(PAUSE)
        return True

    def _drain(self) -> bool:
        """Write what there was when this began; return whether it is written."""
        left = len(self._queue)
        while left > 0 or self._uncounted:
            if self._sink.is_full() and not self._turned():
                return False
            count = min(left, _BATCH)
            batch = [self._queue.popleft() for _ in range(count)]
            left -= count
            sealed = [one for noted in batch if (one := self._described(noted)) is not None]
            sealed += self._lost_ones()
            if sealed and not self._written(sealed):
                self._lose(len(sealed))
                return False
        return True

    def _described(self, noted: Noted) -> Sealed | None:
        try:
            record = self._describer.describe(self._chain.writer, self._chain.n, noted)
            return self._chain.seal(record)
        except Exception as error:  # noqa: BLE001  one that cannot be written must not end them all
            _log.error("a decision cannot be written down: %s", type(error).__name__)
            self._lose(1)
            return None

    def _lost_ones(self) -> tuple[Sealed, ...]:
        if not self._uncounted:
            return ()
        with self._overflow:
            count, self._uncounted = self._uncounted, 0
        return (self._record(Kind.LOST, count=count),)

    def _opened(self) -> bool:
        """Begin the chain; return whether it has begun."""
        if not self._persist(self._open):
            return False
        api, version = self._head
        others = tuple((head.writer, head.n, head.link) for head in self._others)
        start = self._record(Kind.START, part=0, api=api, version=version, others=others)
        return self._written([start])

    def _open(self) -> None:
        self._others = self._sink.open(self._chain.writer, self._clock())

    def _turned(self) -> bool:
        """Begin another part, which says what it is by itself; return whether it has begun."""
        if not self._persist(self._sink.turn):
            return False
        self._part += 1
        after = encode_base64url(self._chain.link)
        api, version = self._head
        part = self._record(Kind.PART, part=self._part, after=after, api=api, version=version)
        return self._written([part])

    def _record(self, kind: str, **members: Any) -> Sealed:
        """Append a record that is of no decision."""
        chain = self._chain
        key = self._describer.key
        return chain.seal(Record(chain.writer, chain.n, kind, key, self._clock(), **members))

    def _written(self, records: Sequence[Sealed]) -> bool:
        return self._persist(partial(self._sink.write, records))

    def _persist(self, work: Callable[[], None]) -> bool:
        """Do something with the sink until it succeeds; return False if the end came before."""
        while True:
            try:
                work()
            except SinkError as error:
                if error.reason != self._error:
                    _log.error("decisions are not written down: %s", error.reason)
                self._error = error.reason
                if self._stop.is_set():
                    return False
                self._stop.wait(_AGAIN)
            else:
                if self._error is not None:
                    _log.warning("decisions are written down again")
                    self._error = None
                return True

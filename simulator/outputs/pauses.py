"""Pauses in the sending. What is repeated across one carries the time from before it: to who goes by Kafka's time it was never long ago."""

from bisect import bisect_right
from collections.abc import Iterable

from simulator.stream import Stream

_PAUSE = 60_000  # milliseconds between two epochs; less makes no difference to a reader
_REACH = 1_200_000  # milliseconds of event time: an event is sent up to 10 minutes late, and repeated up to 10 minutes after that


class Pauses:
    """Before which epochs nothing was sent for a while, and until when. It goes on from what was recorded, and from when that was sent."""

    def __init__(self, stream: Stream, record: Iterable[tuple[int, int]] = (), last: int | None = None) -> None:
        self._reach = _REACH // stream.epoch_ms + 1
        self.record, self._last, self._now = tuple(record), last, last

    def begin(self, epoch: int, now: int) -> None:
        """An epoch is about to be sent, or sent again, at this time (milliseconds since 1970)."""
        self.record = tuple((e, at) for e, at in self.record if epoch - self._reach < e and e != epoch)
        if self._last is not None and now - self._last > _PAUSE:
            self.record += ((epoch, self._last),)
        self._now = now

    def sent(self) -> None:
        """It was sent."""
        self._last = self._now

    def times(self, repeated: Iterable[tuple[int, int]]) -> dict[int, int]:
        """Of repeated rows, with the epochs of their events, those whose event lies before a pause, and the time that they carry.

        The event itself may have been sent after the pause, late. Then its repetition carries a time before it, which does no harm either.
        """
        edges = [epoch for epoch, _ in self.record]
        found = ((row, bisect_right(edges, epoch)) for row, epoch in repeated) if edges else ()
        return {row: self.record[n][1] for row, n in found if n < len(edges)}

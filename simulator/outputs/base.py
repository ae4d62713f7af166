"""What every output has in common."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from simulator.events import DAMAGED, DUPLICATE, Events, Kind
from simulator.stream import Stream


@dataclass(frozen=True)
class Batch:
    """The records of an epoch, encoded, with their figures."""

    epoch: int
    payload: Any
    bytes: int
    kinds: dict[str, int] = field(default_factory=dict)
    declined: int = 0
    duplicates: int = 0
    malformed: int = 0
    late: int = 0
    fraud: int = 0

    @property
    def records(self) -> int:
        """All that is sent."""
        return sum(self.kinds.values()) + self.duplicates + self.malformed


def counted(stream: Stream, epoch: int, records: Events, payload: Any, size: int) -> Batch:
    """The payload with the figures of its records. Late is what belongs to an earlier epoch."""
    true = records.extra == 0
    numbers = np.bincount(records.kind[true], minlength=len(Kind))
    return Batch(
        epoch, payload, size, {k.name.lower(): int(numbers[k]) for k in Kind}, int((true & (records.reason > 0)).sum()),
        int((records.extra == DUPLICATE).sum()), int((records.extra == DAMAGED).sum()),
        int((true & (records.ts < stream.begins(epoch))).sum()), int((true & (records.pattern > 0)).sum()),
    )  # fmt: skip


class Encoder(Protocol):
    """Makes the payload, in a worker. It is sent to the worker once, so it holds no connection."""

    def __call__(self, stream: Stream, epoch: int, records: Events) -> Batch:
        """The batch of an epoch."""
        ...


class Output(Protocol):
    """Where batches go, one epoch after another."""

    @property
    def encoder(self) -> Encoder:
        """What makes its batches."""
        ...

    def kept(self) -> Stream | None:
        """The stream that is there, if any."""
        ...

    def begin(self, stream: Stream) -> int:
        """Make ready, and say which epoch is next."""
        ...

    def write(self, batch: Batch) -> None:
        """Write an epoch and its number: both last, or neither."""
        ...

    def close(self) -> None:
        """Leave everything in order."""
        ...

"""The run: epochs are made ahead, sent when their time has come, and told."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from simulator.crew import Plan, batches
from simulator.epoch import Chain
from simulator.outputs.base import Batch, Output
from simulator.state import Shortcut, load
from simulator.stream import Stream


@dataclass(frozen=True)
class Told:
    """What is told of each epoch that has been sent."""

    batch: Batch
    lag: float  # seconds behind the plan
    until: int  # event time, milliseconds since 1970


@dataclass(frozen=True)
class Pace:
    """How many seconds of event time pass in one: None is as fast as possible."""

    speed_up: float | None

    def due(self, stream: Stream, epochs: int) -> float:
        """How many seconds after the begin of the run its first `epochs` epochs are over."""
        return 0.0 if self.speed_up is None else epochs * stream.epoch_ms / 1000 / self.speed_up


def run(
    stream: Stream, output: Output, pace: Pace, workers: int, stop: threading.Event, tell: Callable[[Told], None], state: Path | None = None,
    counting: Callable[[int, int], None] = lambda epochs, of: None,
) -> bool:  # fmt: skip
    """Send the stream from where the output stands, until its end or until `stop`. Returns whether the end was reached.

    An epoch is sent at its end, as a whole: a stream that was stopped or killed holds whole epochs only. `counting` is told how many of the epochs that
    were sent before are counted, where `state` does not tell.
    """
    try:
        first = output.begin(stream)
        end = stream.duration + 1 if stream.duration else None  # the last one holds what is late
        if end is not None and first >= end:
            return True
        chain = load(state, stream, first) if state else Chain(stream)
        shortcut = Shortcut(state, stream, chain)

        def counted(epoch: int) -> bool:
            counting(epoch + 1, first)
            shortcut.sent(first, now=stop.is_set() or epoch + 1 == first)
            return not stop.is_set()

        began = time.monotonic()
        with closing(batches(Plan(stream, first, end), chain, output.encoder, workers, counted)) as made:
            for batch in made:
                due = began + pace.due(stream, batch.epoch + 1 - first)
                while (wait := due - time.monotonic()) > 0 and not stop.wait(min(wait, 60)):
                    pass
                if stop.is_set():
                    return False
                output.write(batch)
                tell(Told(batch, max(0.0, time.monotonic() - due) if pace.speed_up else 0.0, stream.begins(batch.epoch + 1)))
                shortcut.sent(batch.epoch + 1)
        return chain.next == end
    finally:
        output.close()

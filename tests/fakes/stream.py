"""A cluster in memory with the stream of payments in it, and what surrounds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from include.lake.errors import LakeError
from include.lake.resources.stream import ENDED, INCOMPLETE, RUNNING, StreamState
from include.lake.secret import Secret
from include.lake.stream import FILES, Halt, Surroundings, digest_of
from tests.fakes.base import Fake, writing


@dataclass
class Application:
    """What runs: the digest it carries, its phase, and the arguments it was submitted with."""

    digest: str
    phase: str = RUNNING
    body: Mapping[str, Any] = field(default_factory=dict)


class FakeStreams(Fake):
    """`cut`: how often a running stream was removed in the middle of a batch. `started`: bodies as submitted."""

    def __init__(self) -> None:
        super().__init__()
        self.application: Application | None = None
        self.kafka: frozenset[tuple[str, Secret]] | None = None
        self.needs_login: frozenset[tuple[str, Secret]] = frozenset()
        self.bootstrap, self.endpoint, self.job = "10.0.0.2:9092", "http://10.0.0.10:9000", "print('payments')"
        self.started: list[Mapping[str, Any]] = []
        self.cut = 0
        self.micro_batches: list[str] = []
        self.tries = (1, 0.0)  # how often the operator has started it, and how many seconds ago
        self.halt: Halt | None = None  # that no driver is at work, and the operator waits
        self.stuck = ""  # why it does not end at a batch boundary

    def surroundings(self, names: tuple[str, ...] = FILES) -> Surroundings:
        return Surroundings(self.endpoint, self.bootstrap, self.needs_login, dict.fromkeys(names, self.job))

    def stream(self, namespace: str) -> StreamState | None:
        there = self.application
        return None if there is None else StreamState(there.digest, there.phase, self.kafka)

    @writing
    def stop_stream(self, namespace: str) -> None:
        if self.application and self.application.phase == RUNNING:
            if self.stuck:
                raise LakeError("stop", "stream/payments", self.stuck)
            self.application = replace(self.application, phase=ENDED)

    @writing
    def remove_stream(self, namespace: str) -> None:
        self.cut += bool(self.application and self.application.phase == RUNNING)
        self.application = None

    @writing
    def write_kafka(self, namespace: str, files: frozenset[tuple[str, Secret]]) -> None:
        self.kafka = files

    def _begin(self, body: Mapping[str, Any], phase: str) -> None:
        if self.micro_batches:
            raise LakeError("start", "stream/payments", f"{', '.join(self.micro_batches)} writes to the same checkpoint", "Wait until it has ended")
        if self.application is None:  # one that is there already is left as it is
            self.application = Application(digest_of(body), phase, body)

    @writing
    def submit_stream(self, body: Mapping[str, Any], files: Mapping[str, str]) -> None:
        self._begin(body, RUNNING)
        self.halt = None
        self.started.append(body)

    def half_submit_stream(self, body: Mapping[str, Any], files: Mapping[str, str]) -> None:
        self._begin(body, INCOMPLETE)

    def attempts(self, namespace: str) -> tuple[int, float]:
        return self.tries

    def halted(self, namespace: str) -> Halt | None:
        return self.halt

    def batches(self, namespace: str) -> list[str]:
        return list(self.micro_batches)

    def at_work(self, namespace: str) -> str:
        return "" if self.application is None or self.application.phase == ENDED else "RUNNING"

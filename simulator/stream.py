"""What makes one stream different from another, and nothing else: no speed, no workers, no output."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from simulator.catalogue import intensity
from simulator.errors import SimulatorError

FORMAT = 1  # raised whenever the same options would make other bytes
TIMES = 946_684_800, 4_102_444_799  # seconds: the years 2000 to 2099, beyond which jobs/payments_events.py takes no event
LARGEST_EPOCH = 1 << 23  # events that customers begin in one epoch


@dataclass(frozen=True)
class Stream:
    """A stream of payments. Two that are equal are equal byte for byte."""

    seed: int = 1
    start: int = 1_777_626_000  # seconds since 1970: Friday, 2026-05-01, 09:00 UTC, a pay day
    rate: float = 1000.0  # events a second of event time that customers begin: the mean of a week
    duration: int = 0  # epochs; 0 is without end
    epoch_ms: int = 1000
    accounts: int = 100_000
    flat: bool = False  # no days and no weeks: the rate holds at every moment
    late: float = 0.005
    duplicates: float = 0.002
    malformed: float = 0.001
    fraud: float = 0.002

    def __post_init__(self) -> None:
        for name in ("late", "duplicates", "malformed", "fraud"):
            if not 0 <= (share := getattr(self, name)) <= 0.5:
                raise SimulatorError("use", f"--{name} {share}", "a share lies between 0 and 0.5", f"{Stream.__dataclass_fields__[name].default} is usual")
        if not 1 <= self.epoch_ms <= 240_000:
            raise SimulatorError("use", f"--epoch {self.epoch_ms / 1000}", "an epoch lasts from 0.001 to 240 seconds")
        if not 100 <= self.accounts <= 4_000_000:
            raise SimulatorError("use", f"--accounts {self.accounts}", "there can be 100 to 4,000,000 accounts")
        if not self.rate > 0 or self.rate * self.epoch_ms / 1000 * 4 > LARGEST_EPOCH:
            raise SimulatorError(
                "use", f"--rate {self.rate:g}", f"an epoch holds at most {LARGEST_EPOCH // 4:,} events", "Give a lower rate, or a shorter --epoch"
            )

    def begins(self, epoch: int) -> int:
        """When an epoch begins, in milliseconds since 1970."""
        return self.start * 1000 + epoch * self.epoch_ms

    def expected(self, epoch: int) -> tuple[float, float]:
        """Events a second that are expected at the begin and at the end of an epoch; between them the line is straight."""
        if self.flat:
            return self.rate, self.rate
        begin = self.begins(epoch) / 1000
        return self.rate * intensity(begin), self.rate * intensity(begin + self.epoch_ms / 1000)

    def over(self, epoch: int) -> bool:
        """Whether the stream has ended before this epoch."""
        return bool(self.duration) and epoch >= self.duration

    def name(self) -> str:
        """A short name that two different streams do not share."""
        return hashlib.sha256(json.dumps([FORMAT, asdict(self)], sort_keys=True).encode()).hexdigest()[:16]

    def record(self) -> dict[str, object]:
        """The stream, as it is kept beside its output."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_record(cls, record: dict[str, object]) -> "Stream":
        """The stream that `record` has kept. Raises SimulatorError when this version makes other bytes."""
        if record.get("format") != FORMAT or set(record) != {"format", *(f.name for f in fields(cls))}:
            raise SimulatorError("resume", "the stream", "another version of the simulator began it", "Finish it with that version, or begin a new one")
        return cls(**{k: v for k, v in record.items() if k != "format"})  # type: ignore[arg-type]


def moment(text: str) -> int:
    """Seconds since 1970 of an ISO 8601 time (UTC unless it says otherwise), or of `now`."""
    if text == "now":
        return int(datetime.now(UTC).timestamp())
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SimulatorError("use", f"--start {text}", "it is no ISO 8601 time", "Write it as 2026-05-01T09:00:00, or now") from None
    seconds = int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    if not TIMES[0] <= seconds <= TIMES[1]:
        raise SimulatorError("use", f"--start {text}", "it lies outside of the years 2000 to 2099")
    return seconds

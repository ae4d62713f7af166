"""How far the stream is, out of its log: docs/reference/payments.md has the log's form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.lake.errors import LakeError

TABLES = {"bronze": "bronze", "silver": "silver", "dead": "silver", "figures": "silver", "alerts": "gold"}  # by which query each is written
QUERIES = ("bronze", "silver")  # what reads Kafka
LOGS = (*QUERIES, "gold")  # each after what it is made of
FORMAT = 1
WINDOW = 60_000  # ms before the newest commit, over which the rate is taken


@dataclass(frozen=True)
class QueryLog:
    """What the log of one query holds: what was compacted, if anything, and the entries after it, in their order."""

    query: str
    compacted: Mapping[str, Any] | None
    entries: Sequence[Mapping[str, Any]]

    def __post_init__(self) -> None:
        """Raise LakeError for what this program does not know, and for a batch that is missing: its rows would silently be."""
        if unknown := next((e for e in self._parts if e.get("format") != FORMAT), None):
            raise LakeError(
                "read", f"the log of {self.query}", f"it has the form {unknown.get('format')}, and {FORMAT} is known", "Use the Homelake that wrote it"
            )
        first = self.compacted["through"] + 1 if self.compacted else 0
        for expected, entry in enumerate(self.entries, first):
            if entry["batch"] != expected:
                raise LakeError("read", f"the log of {self.query}", f"batch {expected} is missing before {entry['batch']}",
                                "It was removed by hand: bring back _log from a backup, or its noncurrent version")  # fmt: skip

    @property
    def _parts(self) -> list[Mapping[str, Any]]:
        return [*([self.compacted] if self.compacted else []), *self.entries]

    def files(self, table: str) -> list[str]:
        """The paths of a table's files below the stream's path; all of them together are one consistent view."""
        return [f["path"] for f in self.entries_of(table)]

    def entries_of(self, table: str) -> list[Mapping[str, Any]]:
        """A table's files as the log names them: `path` below the stream's path, and `bytes`."""
        return [f for part in self._parts for f in part["files"].get(table, ())]

    def by_day(self, table: str) -> dict[date, list[Mapping[str, Any]]]:
        """A table's files by their partition `date`: the day (UTC) of every row in them; what lies beyond the calendar at its last or first day."""
        days: dict[date, list[Mapping[str, Any]]] = {}
        for file in self.entries_of(table):
            days.setdefault(day_of(file["path"]), []).append(file)
        return days

    def touched(self, since: float) -> set[date]:
        """The days whose partitions got files since a time (ms). Of batches that were put together since then: all of theirs, as no other time is known."""
        paths = [f["path"] for e in self.entries if e["committed"] >= since for files in e["files"].values() for f in files]
        if self.compacted and self.compacted["at"] >= since:
            own = f"/compacted/{self.compacted['through']:020d}-"
            paths += [f["path"] for files in self.compacted["files"].values() for f in files if own in f["path"]]
        return {day_of(path) for path in paths} - {date.min, date.max}

    def counts(self) -> dict[str, int]:
        """Sums of what the batches counted."""
        sums: dict[str, int] = {}
        for part in self._parts:
            for name, n in part["counts"].items():
                sums[name] = sums.get(name, 0) + n
        return sums

    def offsets(self) -> dict[int, int]:
        """Of each partition, Kafka's offset behind the last record that is in the lake."""
        behind: dict[int, int] = {}
        for part in self._parts:
            behind |= {int(p): last + 1 for p, (_, last) in part["offsets"].items()}
        return behind

    def begins(self) -> dict[int, int]:
        """Of each partition, Kafka's first offset when the stream began to read it: above 0 when Kafka had removed records before."""
        first: dict[int, int] = {}
        for part in reversed(self._parts):
            first |= {int(p): begin for p, (begin, _) in part["offsets"].items()}
        return first

    def high_water(self) -> int:
        """The newest event time (ms) of all that is committed (of silver and gold); 0 before the first batch."""
        return max((int(part["high_water"]) for part in self._parts[-1:]), default=0)

    def last(self) -> tuple[int, int | None] | None:
        """The newest batch, and when it was committed (ms since 1970; None once it is compacted). None before the first."""
        if self.entries:
            return self.entries[-1]["batch"], self.entries[-1]["committed"]
        return (self.compacted["through"], None) if self.compacted else None

    def rate(self) -> float | None:
        """Records a second over the last minute of commits; None where two commits do not tell."""
        if len(self.entries) < 2:
            return None
        newest = self.entries[-1]["committed"]
        recent = [e for e in self.entries if e["committed"] >= newest - WINDOW]
        before = recent[0] if len(recent) > 1 else self.entries[-2]
        seconds = (newest - before["committed"]) / 1000
        records: int = sum(e["counts"].get("records", 0) for e in self.entries if e["batch"] > before["batch"])
        return records / seconds if seconds > 0 else None


def day_of(path: str) -> date:
    """The day of a file by its path. A stream of before times had bounds may have written years of five digits, or below 1."""
    text = path.partition("/date=")[2].partition("/")[0]
    try:
        return date.fromisoformat(text)
    except ValueError:
        return date.min if text.startswith(("-", "0000")) else date.max


def behind(done: Mapping[int, int], ends: Mapping[int, int]) -> int:
    """How many offsets Kafka has that the lake has not. The marks of transactions take offsets too, so 0 is said only of what is surely read."""
    return sum(max(0, end - done.get(partition, 0)) for partition, end in ends.items())

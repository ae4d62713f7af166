"""The proof that a restored lake holds what the original held: every object version of the time of the backup, byte for byte.

Listings are compared whole, bodies by their SHA-256, read from both sides: an ETag says nothing of the bytes on the disk.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, Protocol

from include.lake.errors import LakeError

AT_ONCE = 4  # bodies compared side by side
IN_FLIGHT = 5  # seconds: a write this short before the backup may have been acknowledged after its moment
TOLD = 10  # differences that are named


@dataclass(frozen=True)
class Version:
    """A version of an object, or a delete marker. `modified` in seconds since the epoch; the version id of an unversioned object is `null`."""

    bucket: str
    key: str
    id: str
    marker: bool
    modified: float
    size: int

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key} ({'delete marker' if self.marker else 'version'} {self.id})"


class Store(Protocol):
    """What is read of each of the two."""

    def bucket_names(self) -> list[str]:
        """The names of all buckets."""

    def versions(self, bucket: str) -> Iterator[Version]:
        """Every version and delete marker of a bucket."""

    def digest(self, version: Version) -> str | None:
        """The SHA-256 of a version's body; None when it is not there any more."""


@dataclass
class Report:
    """What was compared, and what differs. `gone` were removed from the original since; `late` were written while the backup began."""

    versions: int = 0
    markers: int = 0
    bodies: int = 0
    bytes: int = 0
    gone: int = 0
    late: int = 0
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**self.__dict__, "wrong": list(self.wrong)}

    def __str__(self) -> str:
        parts = [f"{self.versions} versions and {self.markers} delete markers are there", f"{self.bodies} bodies ({self.bytes / 2**20:.1f} MiB) are byte-equal"]
        parts += [f"{self.gone} were removed from the original since the backup"] if self.gone else []
        parts += [f"{self.late} were written while the backup began, and are not in it"] if self.late else []
        return ", ".join(parts)


def prove(original: Store, restored: Store, began: float, say: Callable[[str], None], share: float = 1.0) -> Report:
    """Compare what the original held when the backup began. `share` of the bodies are read, always the same ones; listings are compared whole.

    Raises LakeError when anything differs or is missing.
    """
    report = Report()
    there = set(restored.bucket_names())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for bucket in original.bucket_names():
            before = report.bodies
            ours = (v for v in original.versions(bucket) if v.modified < began)
            theirs = (v for v in restored.versions(bucket) if v.modified < began) if bucket in there else iter(())
            same = _paired(ours, theirs, began, report)
            while batch := list(islice(same, 16 * AT_ONCE)):
                chosen = [v for v in batch if not v.marker and _chosen(v, share)]
                for version, outcome in zip(chosen, pool.map(lambda v: _compared(original, restored, v), chosen), strict=True):
                    _count(report, version, outcome)
            say(f"{bucket}: {report.bodies - before} bodies compared")
    if report.wrong:
        more = f" and {len(report.wrong) - TOLD} more" if len(report.wrong) > TOLD else ""
        raise LakeError("prove", "that the restored lake is the original's", "; ".join(report.wrong[:TOLD]) + more,
                        "The backup is not a whole copy: keep the original, and look at the log of the backup's task")  # fmt: skip
    return report


def _paired(ours: Iterable[Version], theirs: Iterable[Version], began: float, report: Report) -> Iterator[Version]:
    """The versions that both have, whatever the order of the listings; at the end those that only one has are judged."""
    waiting: tuple[dict[tuple[str, str], Version], ...] = ({}, {})
    for pair in zip_longest(ours, theirs):
        for side, version in enumerate(pair):
            if version is None:
                continue
            other = waiting[1 - side].pop((version.key, version.id), None)
            if other is None:
                waiting[side][version.key, version.id] = version
            elif (other.marker, other.size) != (version.marker, version.size):
                report.wrong.append(f"{version} is of another kind or size")
            else:
                report.markers, report.versions = report.markers + version.marker, report.versions + (not version.marker)
                yield version
    report.gone += len(waiting[1])
    for version in waiting[0].values():
        if version.modified >= began - IN_FLIGHT:
            report.late += 1
        else:
            report.wrong.append(f"{version} is missing")


def _chosen(version: Version, share: float) -> bool:
    name = f"{version.bucket}/{version.key}/{version.id}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:4]) < share * 2**32


def _compared(original: Store, restored: Store, version: Version) -> str:
    """`same`, `gone` (from the original, since the listing), `missing` or `other`."""
    first = original.digest(version)
    if first is None:
        return "gone"
    second = restored.digest(version)
    return "missing" if second is None else "same" if first == second else "other"


def _count(report: Report, version: Version, outcome: str) -> None:
    if outcome == "same":
        report.bodies, report.bytes = report.bodies + 1, report.bytes + version.size
    elif outcome == "gone":
        report.gone, report.versions = report.gone + 1, report.versions - 1
    else:
        report.wrong.append(f"{version} {'cannot be read' if outcome == 'missing' else 'has other bytes'}")

"""The epoch file: which stream it is, which epoch is next. It is replaced in one step, after what it speaks of is on the disk."""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import SimulatorError
from simulator.stream import Stream


@dataclass(frozen=True)
class Kept:
    """What an epoch file says."""

    stream: Stream
    next: int
    sizes: dict[str, int]
    pauses: tuple[tuple[int, int], ...] = ()
    at: int | None = None  # when it was written, where that is known


def differing(asked: Stream, kept: Stream) -> str:
    """Where two streams differ, for a person: `seed 1 → 2`."""
    mine, theirs = asked.record(), kept.record()
    return ", ".join(f"{k} {theirs[k]} → {v}" for k, v in mine.items() if v != theirs[k])


def kept_from(text: str | bytes, what: str) -> Kept:
    """Read what was kept. Raises SimulatorError when it is damaged or of another version."""
    try:
        found: dict[str, Any] = json.loads(text)
        pauses = tuple((int(epoch), int(at)) for epoch, at in found.get("pauses", ()))
        return Kept(Stream.from_record(found["stream"]), int(found["next"]), dict(found["sizes"]), pauses)
    except (ValueError, KeyError, TypeError) as error:
        raise SimulatorError("resume", what, f"its record of the epoch cannot be read ({error})", "Begin a new stream elsewhere") from error


def unwritten(what: str, error: OSError, remedy: str = "Make room, and go on with --resume") -> SimulatorError:
    """What is told of a disk that took no more."""
    return SimulatorError("write", what, error.strerror or str(error), remedy)


def kept_text(stream: Stream, epoch: int, sizes: dict[str, int] | None = None, pauses: tuple[tuple[int, int], ...] = ()) -> str:
    """The form of the record."""
    return json.dumps({"next": epoch, "sizes": sizes or {}, "stream": stream.record(), **({"pauses": pauses} if pauses else {})})


class EpochFile:
    """The epoch file of an output, and the lock that keeps a second simulator from it."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        self._lock: int | None = None

    def lock(self) -> None:
        """Take the output for this process. Raises SimulatorError when another has it."""
        try:
            self._lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SimulatorError("write", self.what, "another simulator is writing it", "Stop that one, or give another place") from None
        except OSError as error:
            raise SimulatorError("write", self.what, error.strerror or str(error), "Give a place that can be written") from error

    def read(self) -> Kept | None:
        """What is kept, or None where there is nothing yet."""
        try:
            return kept_from(self.path.read_bytes(), self.what)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SimulatorError("read", str(self.path), error.strerror or str(error), "Give a place whose epoch file can be read") from error

    def write(self, stream: Stream, epoch: int, sizes: dict[str, int] | None = None) -> None:
        """Replace it."""
        part = self.path.with_name(self.path.name + ".part")
        try:
            with open(part, "w") as file:
                file.write(kept_text(stream, epoch, sizes))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise unwritten(self.what, error) from error

    def missed(self, path: Path, place: str) -> SimulatorError:
        """What is told of a path with something in it, where there is no epoch file: it may be anybody's, so it is not cut off."""
        return SimulatorError(
            "write", str(path), f"it is not empty, and no {self.path.name} says how much of it counts", f"Bring it back, or give another {place}"
        )

    def release(self) -> None:
        """Give the output free."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    there = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(there)
    finally:
        os.close(there)


def resumed(kept: Kept | None, resume: bool, stream: Stream, what: str) -> int:
    """The next epoch. Raises SimulatorError when there is a stream and it was not to be resumed, or another one."""
    if kept is None:
        return 0
    if not resume:
        raise SimulatorError("write", what, "it holds a stream already", "Give --resume to go on with it, or another place")
    if kept.stream != stream:
        raise SimulatorError("resume", what, f"it holds another stream ({differing(stream, kept.stream)})", "Leave these options out, or give another place")
    return kept.next

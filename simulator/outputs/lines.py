"""Lines of JSON: in a file that can be resumed, or on stdout."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from simulator.errors import SimulatorError
from simulator.events import Events
from simulator.ndjson import label_values, lines, values
from simulator.outputs.base import Batch, Encoder, counted
from simulator.outputs.place import EpochFile, resumed
from simulator.population import population
from simulator.schema import labels
from simulator.stream import Stream


@dataclass(frozen=True)
class LinesEncoder:
    """The records of an epoch as text, and their labels."""

    def __call__(self, stream: Stream, epoch: int, records: Events) -> Batch:
        """The text."""
        text = lines(values(stream.seed, population(stream.seed, stream.accounts), records))
        return counted(stream, epoch, records, (text, lines(label_values(labels(records)))), len(text))


class LinesOutput:
    """A file of lines with its epoch file, and if asked for a second one of labels. `-` is stdout, which keeps nothing."""

    def __init__(self, target: str, labels: str | None, resume: bool) -> None:
        self.target, self.resume = target, resume
        self.encoder: Encoder = LinesEncoder()
        self._paths = [None if target == "-" else Path(target), Path(labels) if labels else None]
        self._files: list[BinaryIO | None] = [None, None]
        self._place = None if target == "-" else EpochFile(Path(target + ".epoch.json"), target)
        if resume and target == "-":
            raise SimulatorError("resume", "stdout", "what was printed cannot be looked at again", "Write to a file: --ndjson FILE")

    def kept(self) -> Stream | None:
        """The stream that is there."""
        found = self._place.read() if self._place else None
        return found.stream if found else None

    def begin(self, stream: Stream) -> int:
        """Open the files, and cut off what was written beyond the epoch file."""
        self._stream, first, sizes = stream, 0, {}
        if self._place:
            self._place.lock()
            kept = self._place.read()
            first, sizes = resumed(kept, self.resume, stream, self.target), kept.sizes if kept else {}
        for n, path in enumerate(self._paths):
            if path:
                self._files[n] = self._open(path, sizes.get(str(n), 0), new=first == 0)
        if self.target == "-":
            self._files[0] = sys.stdout.buffer
        self._keep(first)
        return first

    def _open(self, path: Path, size: int, new: bool) -> BinaryIO:
        try:
            if new and self._place is None and path.exists():
                raise SimulatorError("write", str(path), "it exists already", "Give another file")
            file = open(path, "ab")  # noqa: SIM115 (closed by close)
            if file.tell() < size:
                raise SimulatorError("resume", str(path), f"it has {file.tell()} bytes, and {size} were written", "Bring it back, or begin a new file")
            file.truncate(size)
            file.seek(size)  # else `tell` would still say where the end was
        except OSError as error:
            raise SimulatorError("write", str(path), error.strerror or str(error), "Give a file that can be written") from error
        return file

    def write(self, batch: Batch) -> None:
        """Append the epoch, make it last, then count it."""
        for file, text in zip(self._files, batch.payload, strict=True):
            if file:
                try:
                    file.write(text)
                    file.flush()
                except BrokenPipeError:
                    raise
                except OSError as error:
                    raise SimulatorError("write", self.target, error.strerror or str(error), "Make room, and go on with --resume") from error
        self._keep(batch.epoch + 1)

    def _keep(self, epoch: int) -> None:
        if self._place:
            for file in filter(None, self._files):
                os.fsync(file.fileno())
            self._place.write(self._stream, epoch, {str(n): f.tell() for n, f in enumerate(self._files) if f})

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            if file and file is not sys.stdout.buffer:
                file.close()
        if self._place:
            self._place.release()

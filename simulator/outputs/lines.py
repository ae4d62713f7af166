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
from simulator.outputs.place import EpochFile, resumed, unwritten
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
        self._stream, first, kept = stream, 0, None
        if self._place:
            self._place.lock()
            kept = self._place.read()
            first = resumed(kept, self.resume, stream, self.target)
        if kept:
            self._same_files(kept.sizes)
        else:
            self._untouched()
        for n, path in enumerate(self._paths):
            if path:
                self._files[n] = self._open(path, kept.sizes[str(n)] if kept else 0)
        if self.target == "-":
            self._files[0] = sys.stdout.buffer
        self._keep(first)
        return first

    def _same_files(self, sizes: dict[str, int]) -> None:
        """Labels that were left out for a while would lack what was sent meanwhile, and be taken for whole."""
        if ("1" in sizes) != (self._paths[1] is not None):
            begun, remedy = ("with", "Give the same --labels") if "1" in sizes else ("without", "Leave it out, or begin a new file")
            raise SimulatorError("resume", self.target, f"it was begun {begun} --labels", remedy)

    def _untouched(self) -> None:
        for path in filter(None, self._paths):
            try:
                size = path.stat().st_size
            except OSError:  # it is not there, or `_open` will tell what is wrong with it
                size = 0
            if size and self._place:
                raise self._place.missed(path, "file")
            if size:
                raise SimulatorError("write", str(path), "it is not empty", "Give another file")

    def _open(self, path: Path, size: int) -> BinaryIO:
        try:
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
                    raise (unwritten(self.target, error) if self._place else unwritten("stdout", error, "Make room, and begin again")) from error
        self._keep(batch.epoch + 1)

    def _keep(self, epoch: int) -> None:
        if self._place:
            try:
                for file in filter(None, self._files):
                    os.fsync(file.fileno())
            except OSError as error:
                raise unwritten(self.target, error) from error
            self._place.write(self._stream, epoch, {str(n): f.tell() for n, f in enumerate(self._files) if f})

    def close(self) -> None:
        """Close the files."""
        for file in filter(None, self._files):
            try:
                file.flush()
            except OSError:  # the rest of an epoch that does not count: nothing tries to write it again, neither here nor at Python's exit
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, file.fileno())
                os.close(null)
            if file is not sys.stdout.buffer:
                file.close()
        if self._place:
            self._place.release()

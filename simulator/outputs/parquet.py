"""A folder of Parquet: `events/`, `malformed/` and `labels/`, one file an epoch. A file that is half written has another name, and is made again."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.errors import SimulatorError
from simulator.events import DAMAGED, Events
from simulator.ndjson import keys, values
from simulator.outputs.base import Batch, Encoder, counted
from simulator.outputs.place import EpochFile, resumed, sync_folder, unwritten
from simulator.population import population
from simulator.schema import MALFORMED, labels, table
from simulator.stream import Stream

TABLES = ("events", "malformed", "labels")


def file_of(folder: Path, name: str, epoch: int) -> Path:
    """Where a table of an epoch stands."""
    return folder / name / f"epoch-{epoch:010d}.parquet"


@dataclass(frozen=True)
class ParquetEncoder:
    """Writes the files of an epoch, in the worker: nothing but their size travels. A file that is there is replaced by the same one."""

    folder: Path

    def __call__(self, stream: Stream, epoch: int, records: Events) -> Batch:
        """The epoch, on the disk."""
        people = population(stream.seed, stream.accounts)
        bad = records.take(np.flatnonzero(records.extra == DAMAGED))
        good = records.take(np.flatnonzero(records.extra != DAMAGED))
        malformed = [keys(stream.seed, people, bad), values(stream.seed, people, bad), pa.array(bad.emitted)]
        tables = (table(stream.seed, people, good), pa.Table.from_arrays(malformed, schema=MALFORMED), labels(records))
        size = sum(self._write(name, epoch, rows) for name, rows in zip(TABLES, tables, strict=True))
        return counted(stream, epoch, records, None, size)

    def _write(self, name: str, epoch: int, rows: pa.Table) -> int:
        path = file_of(self.folder, name, epoch)
        part = path.with_suffix(".part")
        try:
            with open(part, "wb") as file:
                pq.write_table(rows, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            raise unwritten(str(path), error) from error
        return path.stat().st_size


class ParquetOutput:
    """The folder, with its epoch file."""

    def __init__(self, folder: Path, resume: bool) -> None:
        self.folder, self.resume = folder, resume
        self.encoder: Encoder = ParquetEncoder(folder)
        self._place = EpochFile(folder / "epoch.json", str(folder))
        self._next: int | None = None

    def kept(self) -> Stream | None:
        """The stream that is there."""
        found = self._place.read()
        return found.stream if found else None

    def begin(self, stream: Stream) -> int:
        """Take the folder, and remove what was written beyond the epoch file."""
        try:
            for name in TABLES:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SimulatorError("write", str(self.folder), error.strerror or str(error), "Give a folder that can be written") from error
        self._place.lock()
        kept = self._place.read()
        first = resumed(kept, self.resume, stream, str(self.folder))
        try:
            for name in TABLES:
                if kept is None and any((self.folder / name).iterdir()):
                    raise self._place.missed(self.folder / name, "folder")
            self._settle(first)
        except OSError as error:
            raise unwritten(str(self.folder), error) from error
        self._stream, self._next = stream, first
        self._place.write(stream, self._next)
        return self._next

    def write(self, batch: Batch) -> None:
        """The files are there already: now they count."""
        self._next = batch.epoch + 1
        self._place.write(self._stream, self._next)

    def close(self) -> None:
        """Remove what workers made ahead, and give the folder free."""
        if self._next is not None:
            with suppress(OSError):  # then the next one to begin does it
                self._settle(self._next)
        self._place.release()

    def _settle(self, first: int) -> None:
        for name in TABLES:
            for path in (self.folder / name).glob("epoch-*"):
                if path.suffix == ".part" or path >= file_of(self.folder, name, first):
                    path.unlink()

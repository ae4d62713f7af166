"""The state of the chain in a file, so that a resume need not count from the first epoch. It is a shortcut, never the truth: it may be lost."""

import os
import time
import zipfile
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from simulator.epoch import Chain
from simulator.errors import SimulatorError
from simulator.events import Events
from simulator.stream import Stream

SAVE_EVERY = 30.0  # seconds


class Shortcut:
    """Keeps the chain in a file now and then, but never one of epochs that are not sent yet: who goes on before them could not use it."""

    def __init__(self, path: Path | None, stream: Stream, chain: Chain) -> None:
        self._path, self._stream, self._chain = path, stream, chain
        self._saved = time.monotonic()
        self._waiting: Chain | None = None

    def sent(self, epochs: int, now: bool = False) -> None:
        """Keep the chain if it is time, or at once, when the first `epochs` epochs are sent. Workers are ahead of that: then as it is, later."""
        if self._path is None:
            return
        if self._waiting is None and (now or time.monotonic() - self._saved > SAVE_EVERY):
            self._waiting = self._chain.copy()
        if self._waiting and self._waiting.next <= epochs:
            save(self._path, self._stream, self._waiting)
            self._saved, self._waiting = time.monotonic(), None


def save(path: Path, stream: Stream, chain: Chain) -> None:
    """Keep the chain. Epochs that were counted but not sent yet do no harm: `load` looks at the number."""
    columns: dict[str, Any] = {}
    later = chain.later
    for field in fields(Events):
        columns[field.name] = np.concatenate([getattr(e, field.name) for _, e in later] or [np.zeros(0, np.int64)])
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            np.savez(file, stream=stream.name(), next=chain.next, had=chain.had, epochs=[n for n, _ in later], sizes=[len(e) for _, e in later], **columns)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise SimulatorError("write", str(path), error.strerror or str(error), "Give another --state, or none") from error


def load(path: Path, stream: Stream, first: int) -> Chain:
    """The chain as it was kept, when it is of this stream and not beyond `first`; else a new one."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["stream"]) != stream.name() or int(kept["next"]) > first:
                return Chain(stream)
            edges = np.cumsum([0, *kept["sizes"]]).astype(int)
            columns = {f.name: kept[f.name] for f in fields(Events)}
            parts = [Events(**{n: c[low:high] for n, c in columns.items()}) for low, high in pairwise(edges)]
            return Chain(stream, int(kept["next"]), kept["had"], list(zip([int(n) for n in kept["epochs"]], parts, strict=True)))
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        return Chain(stream)

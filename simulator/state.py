"""The state of the chain in a file, so that a resume need not count from the first epoch. It is a shortcut, never the truth: it may be lost."""

import os
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
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return Chain(stream)

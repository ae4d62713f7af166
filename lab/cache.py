"""The cache of builds: a folder for each build, named by the hash of what it is made from."""

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from lab.progress import say
from lab.site import CACHE


def fingerprint(*inputs: object, files: Iterable[Path] = ()) -> str:
    """The hash of a build's inputs: values, and the contents of files."""
    state = hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode())
    for file in sorted(files):
        state.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return state.hexdigest()[:12]


def built(name: str, key: str, make: Callable[[Path], None], what: str) -> Path:
    """The folder of a build; made by `make(folder)` if it is not there. A build that dies leaves nothing behind.

    `what` names it in the progress. Older builds of the same name are removed when a new one is done.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    done = CACHE / f"{name}-{key}"
    if done.exists():
        return done
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two labs that start at once build once
        if done.exists():
            return done
        work = CACHE / f"{name}-{key}.part"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        say(f"building {what} (once; kept in {CACHE})")
        begun = time.monotonic()
        make(work)
        work.rename(done)
        say(f"built {what} in {time.monotonic() - begun:.0f} s")
        for old in CACHE.glob(f"{name}-*"):
            if old != done and old.is_dir() and len(old.name) == len(done.name):
                shutil.rmtree(old, ignore_errors=True)
    return done

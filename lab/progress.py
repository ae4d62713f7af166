"""Progress of long work: one line a step, with the seconds since the command began."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BEGUN = time.monotonic()


def say(text: str) -> None:
    """Print one line of progress, on stderr: stdout is for results."""
    print(f"[{time.monotonic() - _BEGUN:5.0f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, and what it took when it took more than a second."""
    begun = time.monotonic()
    say(text)
    yield
    if (took := time.monotonic() - begun) > 1:
        say(f"{text}: done in {took:.1f} s")

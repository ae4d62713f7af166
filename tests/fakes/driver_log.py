"""A pod's log as the API server gives it when time stamps are asked for."""

from collections.abc import Iterable


def stamped(blocks: Iterable[bytes]) -> bytes:
    """Each line with a time stamp of its own before it, later than the one before."""
    lines = b"".join(blocks).split(b"\n")
    ended = lines[-1:] == [b""]
    whole = [f"2026-11-28T10:{n // 60:02}:{n % 60:02}.000000001Z ".encode() + line for n, line in enumerate(lines[:-1] if ended else lines)]
    return b"\n".join([*whole, b""] if ended else whole)

"""What every fake has: it counts its writes, and can be killed before or after any of them."""

import functools
from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The process that called is gone. No `except Exception` may catch it."""


class Fake:
    """`writes` holds the names of the writing calls made. `kill_at` = (n, when): die at the n-th, `before`, `during` or `after` it."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.kill_at: tuple[int, str] | None = None


def writing(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method as one that writes. Killed `during`, a method that names a `half` does that half only."""

    @functools.wraps(method)
    def call(self: Fake, *args: Any, **options: Any) -> Any:
        number, self_kill = len(self.writes), self.kill_at
        self.writes.append(method.__name__)
        if self_kill and self_kill[0] == number:
            half = getattr(self, f"half_{method.__name__}", None)
            if self_kill[1] == "during" and half:
                half(*args, **options)
            if self_kill[1] == "after":
                method(self, *args, **options)
            raise Killed(method.__name__)
        return method(self, *args, **options)

    return call

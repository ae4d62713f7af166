"""Run `./lake ARGS` in a process that dies at the n-th of the calls named, as by kill -9 or a power cut of the bastion.

    python -m tests.e2e.killing before 1 include.adapters.proxmox:Proxmox.grow apply --yes
    python -m tests.e2e.killing after 3 include.adapters.host:Host.restart,include.adapters.minio:MinioServer.put_access_key rotate keys

`before`: the call is not made; `after`: it is made, and its answer is never seen. At call 0 it does not die.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pkgutil import resolve_name
from typing import Any

from include.lake import rotation


def die_at(when: str, number: int, calls: list[str]) -> None:
    """Replace methods by such that count their calls together and kill this process at one of them."""
    made = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*given: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            last = made == number
            answer = None if last and when == "before" else method(*given, **options)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    for place in calls:
        owner, name = place.rsplit(".", 1)
        kind = resolve_name(owner)
        setattr(kind, name, counted(getattr(kind, name)))


if __name__ == "__main__":
    from include.cli import main

    rotation.MARGIN = timedelta(0)  # nodes of the lab learn of a new secret at once
    die_at(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","))
    sys.exit(main(sys.argv[4:]))

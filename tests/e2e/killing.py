"""Run `./lake ARGS` in a process that dies at a call, as by kill -9 or a power cut of the bastion.

    python -m tests.e2e.killing before include.adapters.proxmox:Proxmox.grow apply --yes

`before`: the call is not made; `after`: it is made, and its answer is never seen.
"""

import importlib
import os
import signal
import sys
from typing import Any


def die_at(when: str, where: str) -> None:
    """Replace a method by one that kills this process."""
    module, _, path = where.partition(":")
    owner, name = path.rsplit(".", 1)
    kind = getattr(importlib.import_module(module), owner)
    call = getattr(kind, name)

    def dying(*args: Any, **options: Any) -> None:
        if when == "after":
            call(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(kind, name, dying)


if __name__ == "__main__":
    from include.cli import main

    die_at(*sys.argv[1:3])
    sys.exit(main(sys.argv[3:]))

"""Run `./lake ARGS` and let the process be killed (SIGKILL) at its n-th call of those that a rotation changes something with.

    python -m tests.e2e.killed N before|after rotate keys

Nodes of the lab learn of a new secret at once, so the 60 s that a rotation waits for them are left out.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from include import cli
from include.adapters.host import Host
from include.adapters.kubernetes import Kubernetes
from include.adapters.minio import MinioServer
from include.lake import rotation

CALLS: tuple[tuple[type, str], ...] = (
    (Kubernetes, "patch_secret"), (MinioServer, "put_access_key"), (MinioServer, "remove_access_key"),
    (Host, "keep_settings"), (Host, "write_credentials"), (Host, "restart"), (Host, "forget_settings"),
)  # fmt: skip


def main(number: int, when: str, *args: str) -> int:
    rotation.MARGIN = timedelta(0)
    made = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*given: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == number and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = method(*given, **options)
            if made == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    for kind, name in CALLS:
        setattr(kind, name, counted(getattr(kind, name)))
    return cli.main(list(args))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))

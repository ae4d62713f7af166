"""`python -m lab.pve --config FILE`: serve the API of one node. The file: node, host, port, cert, key, state, tokens, bridge, accelerator."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

from lab.pve.auth import Tokens
from lab.pve.server import serve
from lab.pve.vms import Settings, Vms


def main() -> None:
    """Serve until told to stop; machines run on."""
    parser = argparse.ArgumentParser(prog="python -m lab.pve", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config = json.loads(parser.parse_args().config.read_text())
    state = Path(config["state"])
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.umask(0o077)

    async def run() -> None:
        vms = Vms(Settings(config["node"], state, config["bridge"], config["accelerator"]))
        for image in config.get("images", []):
            vms.storages.offer(Path(image))
        task = asyncio.current_task()
        assert task is not None
        for sign in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sign, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serve(vms, Tokens(Path(config["tokens"])), config["host"], config["port"], Path(config["cert"]), Path(config["key"]))

    asyncio.run(run())


if __name__ == "__main__":
    main()

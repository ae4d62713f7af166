"""How the lab's command line tells of its errors: as `./lake` does, with an exit code of its own."""

import argparse
import difflib
import sys
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A wrong argument ends with 2, after the usage of the very command. An option is written in full."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Tell it in one line."""
        self.print_usage(sys.stderr)
        self.exit(2, f"Unable to run {self.prog}: {message}{'' if message.endswith('?') else '.'} See {self.prog} --help.\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            near = difflib.get_close_matches(str(value), known := [str(choice) for choice in action.choices], 1)
            raise argparse.ArgumentError(action, f"there is no {value!r}. " + (f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(known)}"))

"""The kinds of value that the command line takes, and how its errors are told."""

import argparse
import difflib
import sys
from collections.abc import Iterable
from datetime import date
from typing import Any, NoReturn


class Help(argparse.HelpFormatter):
    """Text of several lines stays as it is written; one line is wrapped."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "".join(f"{indent}{line}\n" for line in text.splitlines()) if "\n" in text else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """A wrong argument is an error, 1: argparse's own 2 would say that there are changes. An option is written in full: a later one may begin alike."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": Help, **options})

    def error(self, message: str) -> NoReturn:
        """Tell it with the usage of the very command."""
        self.print_usage(sys.stderr)
        self.exit(1, f"Unable to run {self.prog}: {message}{'' if message.endswith('?') else '.'} See {self.prog} --help.\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(action, f"there is no {value!r}. {nearest(str(value), known) or 'Known are ' + ', '.join(known)}")

    def unknown(self, words: Iterable[str]) -> NoReturn:
        """Tell of arguments that the command does not have."""
        listed = list(words)
        self.error(f"it has no {' '.join(listed)}. {nearest(listed[0].partition('=')[0], self._option_string_actions)}".rstrip(". "))


def nearest(word: str, known: Iterable[str]) -> str:
    """`Did you mean …?`, where one that is known is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"Did you mean {near[0]!r}?" if near else ""


def seconds(text: str) -> int:
    """A whole number of seconds."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return int(text)


def port(text: str) -> int:
    """A port of this machine; 0 is any that is free."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 (any that is free) to 65535")
    return int(text)


def share(text: str) -> float:
    """A percentage, with or without its sign."""
    from include.lake.units import Percent

    try:
        return Percent.parse(text.rstrip("% ") + " %")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def rate(text: str) -> float:
    """How many a second."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def day(text: str) -> date:
    """A day, as 2026-05-01."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day, as 2026-05-01") from None

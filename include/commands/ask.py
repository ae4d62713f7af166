"""Asking whoever runs a command, before something is changed."""

import sys

from include.lake.errors import LakeError


def ask(verb: str, what: str, question: str, answer: str, option: str) -> None:
    """Go on when this very answer is given at the terminal. Raises LakeError otherwise; `option` is what goes on without asking."""
    if not sys.stdin.isatty():
        raise LakeError(verb, what, "nobody is there to approve it", f"Run it with {option}")
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != answer:
        raise LakeError(verb, what, "it was not approved")

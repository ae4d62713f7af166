"""Parts of the declaration that are shipped behind marks (`#| `): taken in by taking the marks away, and nothing else of the file is touched."""

import re

_MARKED = re.compile(r"^(?P<indent>[ ]*)#\|(?: (?P<rest>.*))?$")


def unmarked(text: str) -> str:
    """The declaration with every marked line as one that counts. A line that has no mark stays as it is."""
    found = ((line, _MARKED.match(line)) for line in text.splitlines())
    lines = [(m["indent"] + m["rest"] if m["rest"] else "") if m else line for line, m in found]
    return "\n".join(lines) + "\n"

"""What a script in the guest prints, as facts: `key=value` lines, one value a line."""


def pairs(text: str) -> dict[str, str]:
    """`key=value` lines; a key that comes twice keeps its last value."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def section(text: str, name: str) -> str:
    """The lines between `<name>` and `</name>`, as they are."""
    _, _, rest = text.partition(f"<{name}>\n")
    body, found, _ = rest.rpartition(f"</{name}>")
    return body if found else ""

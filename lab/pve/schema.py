"""Parameters: what each call accepts; unknown names and bad values are refused, in the real API's words."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.pve.errors import bad_parameters

Check = Callable[[Any], Any]  # takes what a request carries: text, or from JSON a bool, a list or an object


class FormatError(ValueError):
    """What is wrong inside a property string, by key."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(errors)
        self.errors = errors


def _plain(value: object, kind: str) -> str:
    if isinstance(value, str):
        return value
    found = {bool: "JSON::PP::Boolean", list: "ARRAY", dict: "HASH"}.get(type(value), "HASH")
    raise ValueError(f"type check ('{kind}') failed - got {found}")


def string(pattern: str | None = None, maximum: int | None = None) -> Check:
    """Text that matches a pattern."""

    def check(value: object) -> str:
        text = _plain(value, "string")
        if pattern is not None and not re.fullmatch(pattern, text):
            raise ValueError("value does not match the regex pattern")
        if maximum is not None and len(text) > maximum:
            raise ValueError(f"value may only be {maximum} characters long")
        return text

    return check


def formatted(pattern: str, complaint: str) -> Check:
    """Text of a named format; `complaint` says in the real API's words that it is not."""

    def check(value: object) -> str:
        text = _plain(value, "string")
        if not re.fullmatch(pattern, text):
            raise ValueError("invalid format - " + complaint.format(text))
        return text

    return check


def integer(minimum: int | None = None, maximum: int | None = None) -> Check:
    """A whole number within bounds."""

    def check(value: object) -> int:
        text = _plain(value, "integer")
        if not re.fullmatch(r"[+-]?\d+", text):
            raise ValueError(f"type check ('integer') failed - got '{text}'")
        number = int(text)
        if maximum is not None and number > maximum:
            raise ValueError(f"value must have a maximum value of {maximum}")
        if minimum is not None and number < minimum:
            raise ValueError(f"value must have a minimum value of {minimum}")
        return number

    return check


def number(value: object) -> str:
    """A number of at least 0, as it is written."""
    text = _plain(value, "number")
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError(f"type check ('number') failed - got '{text}'")
    return text


def boolean(value: object) -> int:
    """0 or 1: a parameter that is a switch takes no words, and from JSON a boolean too."""
    text = str(int(value)) if isinstance(value, bool) else _plain(value, "boolean")
    if text not in ("0", "1"):
        raise ValueError(f"type check ('boolean') failed - got '{value}'")
    return int(text)


def flag(value: str) -> int:
    """A switch inside a property string, where words are taken as well."""
    if value.lower() in ("1", "on", "yes", "true"):
        return 1
    if value.lower() in ("0", "off", "no", "false"):
        return 0
    raise ValueError(f"type check ('boolean') failed - got '{value}'")


def choice(*words: str) -> Check:
    """One of a few words."""

    def check(value: object) -> str:
        text = _plain(value, "string")
        if text not in words:
            raise ValueError(f"value '{text}' does not have a value in the enumeration '{', '.join(words)}'")
        return text

    return check


def names(value: object) -> list[str]:
    """A list of settings' names, in one text (`scsi1,net0`) or as a list."""
    text = ",".join(map(str, value)) if isinstance(value, list) else _plain(value, "string")
    found = [n for n in re.split(r"[,;\s\0]+", text) if n]
    for name in found:
        if not re.fullmatch(r"[a-zA-Z][\w-]+", name):
            raise ValueError(f"invalid format - invalid configuration ID '{name}'")
    return found


def words(value: object) -> list[str]:
    """A list of texts; a single one is a list of one."""
    return [_plain(v, "string") for v in value] if isinstance(value, list) else [_plain(value, "string")]


TEXT = string()
SIZE = string(r"\d+(\.\d+)?[KMGT]?")
STORAGE = formatted(r"[a-zA-Z][\w.-]*[a-zA-Z0-9]", "storage ID '{}' contains illegal characters")
SNAPSHOT = formatted(r"[a-zA-Z][\w-]{1,39}", "invalid configuration ID '{}'")


def vm_id(value: object) -> int:
    """A VM's number."""
    if not re.fullmatch(r"[1-9]\d{2,8}", str(integer()(value))):
        raise ValueError("invalid format - value does not look like a valid VM ID")
    return int(_plain(value, "integer"))


def verify(given: Mapping[str, Any], known: Mapping[str, Check], required: tuple[str, ...] = (),
           further: Callable[[str], Check | None] = lambda name: None) -> dict[str, Any]:  # fmt: skip
    """Check a call's parameters; `further` knows the checks of parameters that are not in `known`."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {n: "property is missing and it is not optional" for n in required if n not in given}
    for name, value in given.items():
        check = known.get(name) or further(name)
        if check is None:
            errors[name] = "property is not defined in schema and the schema does not allow additional properties"
            continue
        try:
            values[name] = check(value)
        except FormatError as error:
            errors[name] = "invalid format - format error\n" + "".join(f"{name}.{key}: {text}\n" for key, text in error.errors.items())
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise bad_parameters(errors)
    return values

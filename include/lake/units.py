"""Sizes and durations with their units in the text: `500 GiB`, `5 s`."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

_BINARY = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_SECONDS: Mapping[str, int | Fraction] = {"ms": Fraction(1, 1000), "s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST = 2**63 - 1  # what MinIO and Linux can hold
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def _parse(text: object, units: Mapping[str, int | Fraction], example: str) -> Fraction:
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a number with a unit; write it as '{example}'")
    number, unit = match.groups()
    if unit not in units:
        hint = f"; for binary units write {unit[0].upper()}iB" if unit[-1:] in "bB" and len(unit) == 2 else ""
        raise ValueError(f"unknown unit {unit!r}; known are {', '.join(units)}{hint}")
    value = Fraction(number) * units[unit]  # exact: a float loses bytes beyond 8 PiB
    if value > _MOST:
        raise ValueError(f"{str(text)[:40]!r} is too large")
    return value


class Size(int):
    """A number of bytes, written in binary units.

    >>> Size.parse("1.5 GiB")
    1536 MiB
    """

    @classmethod
    def parse(cls, text: object) -> Self:
        """Bytes from text such as `500 GiB`. Raises ValueError that says how to write it."""
        if isinstance(text, cls):
            return text
        value = _parse(text, _BINARY, "500 GiB")
        if value.denominator != 1:
            raise ValueError(f"{text!r} is not a whole number of bytes")
        return cls(int(value))

    def __repr__(self) -> str:
        for unit, factor in reversed(_BINARY.items()):
            if self and int(self) % factor == 0:
                return f"{int(self) // factor} {unit}"
        return f"{int(self)} B"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)


class Seconds(float):
    """A duration in seconds, written as `5 s`, `10 m`, `24 h`, `7 d`."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Seconds from text such as `5 s`. Raises ValueError that says how to write it."""
        return text if isinstance(text, cls) else cls(float(_parse(text, _SECONDS, "30 s")))

    def __repr__(self) -> str:
        return f"{float(self):.6f}".rstrip("0").rstrip(".") + " s"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)

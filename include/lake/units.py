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


def human(size: float) -> str:
    """A number of bytes to three digits, for people: the exact form is Size's.

    >>> human(1234567890)
    '1.15 GiB'
    """
    unit, factor = next(((u, f) for u, f in reversed(_BINARY.items()) if abs(size) >= f), ("B", 1))
    return f"{size / factor:.3g} {unit}" if abs(size) / factor < 999.5 else f"{size / factor:.0f} {unit}"


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


class Days(int):
    """A number of whole days, written as `30 d` (S3 counts retention and lifecycle in days)."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Days from text such as `30 d`. Raises ValueError that says how to write it."""
        if isinstance(text, cls):
            return text
        days = Fraction(_parse(text, _SECONDS, "30 d")) / 86400
        if days.denominator != 1 or not 0 < days <= 36500:
            raise ValueError(f"{text!r} is not a whole number of days from 1 to 36500; write it as '30 d'")
        return cls(int(days))

    def __repr__(self) -> str:
        return f"{int(self)} d"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)


class Percent(float):
    """A share, written as `80 %`; its value is the fraction, 0.8."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """The fraction from text such as `80 %`. Raises ValueError that says how to write it."""
        if isinstance(text, cls):
            return text
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text) if isinstance(text, str) else None
        if match is None or not 0 < float(match[1]) <= 100:
            raise ValueError(f"{text!r} is not a share between 0 and 100 %; write it as '80 %'")
        return cls(float(match[1]) / 100)

    def __repr__(self) -> str:
        return f"{float(self) * 100:.4f}".rstrip("0").rstrip(".") + " %"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)

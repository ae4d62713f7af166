"""Cron expressions, judged as Airflow's own reader (croniter) judges them, which takes longer to import than a declaration to read."""

import re
from collections.abc import Iterator

PRESETS = r"@(hourly|daily|weekly|monthly|quarterly|yearly)"
_MONTHS = {name: n for n, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_DAYS = {name: n for n, name in enumerate("sun mon tue wed thu fri sat".split())}
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SPECIAL = r"l([0-7])|(?:([a-z]{3})-)?([a-z]{3}|[0-7])#[1-5]"  # the last, or the second Monday of a month
# Name, first and last value, names of values.
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}), ("hour", 0, 23, {}), ("day", 1, 31, {}), ("month", 1, 12, _MONTHS), ("weekday", 0, 7, _DAYS))  # fmt: skip


def cron(text: str) -> str:
    """A cron expression of five fields, or one of Airflow's presets. Raises ValueError when there is no such time."""
    if re.fullmatch(PRESETS, text):
        return text
    fields = text.split(" ")
    if len(fields) != len(_FIELDS) or not all(fields):
        raise ValueError(f"{text!r} is not a cron expression of five fields, as 0 6 * * *")
    found = [_field(text, number, field.lower()) for number, field in enumerate(fields)]
    days, months, free = found[2], found[3], fields[4] in "*?"
    if days and months and free and min(days) > max(_LENGTHS[m - 1] for m in months):
        raise ValueError(f"{text!r} never comes: no month of {fields[3]} has a day {fields[2]}")
    return text


def _field(text: str, number: int, field: str) -> set[int]:
    """The values of a field; none of the weekdays that are counted within a month."""
    name, first, last, names = _FIELDS[number]
    if field == "?" and name in ("day", "weekday"):
        field = "*"
    items = field.split(",")
    if len(items) > 1 and ((name == "day" and "w" in field) or (name == "weekday" and len({bool(re.fullmatch(_SPECIAL, i)) for i in items}) > 1)):
        raise ValueError(f"{text!r} is not a cron expression: its {name} {field!r} puts in one list what goes only alone")
    try:
        return {value for item in items for value in _item(name, item, first, last, names)}
    except ValueError as error:
        given = f" or {next(iter(names))} to {list(names)[-1]}" if names else ""
        raise ValueError(f"{text!r} is not a cron expression: its {name} {str(error)!r} is not one of {first} to {last}{given}") from None


def _item(name: str, item: str, first: int, last: int, names: dict[str, int]) -> Iterator[int]:
    """The values of one item of a list: `*`, a value, a range, each with a step. Raises ValueError with what is none."""

    def value(part: str) -> int:
        found = names.get(part, int(part) if re.fullmatch(r"[0-9]+", part) else -1)
        if not first <= found <= last:
            raise ValueError(part)
        return found

    if name == "day" and (nearest := re.fullmatch(r"l|w(?P<before>[0-9]+)|(?P<after>[0-9]+)w", item)):
        yield value(nearest["before"] or nearest["after"] or "28")  # every month has that day, as it has a last one
        return
    if name == "weekday" and (special := re.fullmatch(_SPECIAL, item)):
        for part in filter(None, special.groups()):
            value(part)
        return
    base, slash, step = item.partition("/")
    if slash and not (re.fullmatch(r"[0-9]+", step) and int(step)):
        raise ValueError(item)
    begin, dash, end = base.partition("-")
    low = first if base == "*" else value(begin)
    high = last if base == "*" or (slash and not dash) else value(end) if dash else low
    if low > high or (dash and low == high):  # it goes round: 22-2, and as croniter has it 5-5
        yield from (*range(low, last + 1), *range(first, high + 1))
    else:
        yield from range(low, high + 1, int(step or 1))

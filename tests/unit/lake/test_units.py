"""Sizes and durations: what is written is what is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.units import Seconds, Size, human

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}


@given(st.integers(0, 2**63 - 1))
def test_every_size_is_shown_as_it_is_read(size: int) -> None:
    assert int(Size.parse(str(Size(size)))) == size


@given(st.integers(0, 2**10), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " ", "  "]))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str, space: str) -> None:
    assert Size.parse(f"{number}{space}{unit}") == number * UNITS[unit]


@given(st.integers(0, 10**12))
def test_every_duration_is_shown_as_it_is_read(milliseconds: int) -> None:
    duration = Seconds.parse(f"{milliseconds} ms")
    assert duration == pytest.approx(milliseconds / 1000)
    assert Seconds.parse(str(duration)) == pytest.approx(duration)
    assert "e" not in str(duration), "MinIO reads no exponent"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("1.5 GiB", "1536 MiB"), ("1024 KiB", "1 MiB"), ("0 GiB", "0 B"), ("1025 B", "1025 B"), ("500GiB", "500 GiB"), ("9007199254740993 B", "9007199254740993 B")],
)  # fmt: skip
def test_a_size_is_shown_in_its_largest_whole_unit(text: str, shown: str) -> None:
    assert str(Size.parse(text)) == repr(Size.parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "seconds", "shown"), [("250 ms", 0.25, "0.25 s"), ("1.5 m", 90, "90 s"), ("12 d", 1_036_800, "1036800 s"), ("2h", 7200, "7200 s")]
)
def test_a_duration_is_in_seconds(text: str, seconds: float, shown: str) -> None:
    assert Seconds.parse(text) == seconds
    assert str(Seconds.parse(text)) == shown


def test_what_is_a_size_already_stays_it() -> None:
    assert Size.parse(Size(7)) is not None
    assert Size.parse(Size(7)) == 7
    with pytest.raises(ValueError, match="7 is not a number with a unit"):
        Size.parse(7)  # a bare number may be bytes or gigabytes


@pytest.mark.parametrize("text", ["", "GiB", "1", "1 2 GiB", "1,5 GiB", "+1 GiB", "0x1 GiB", "1e3 GiB", "1 GiB/s", "inf GiB", "nan GiB", None, True, 1.5])
def test_what_is_no_size_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match=r"not a number with a unit; write it as '500 GiB'|unknown unit"):
        Size.parse(text)


@pytest.mark.parametrize("text", ["9" * 400 + " B", "8192 PiB"])
def test_more_than_a_disk_can_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        Size.parse(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1023, "1023 B"), (1024, "1 KiB"), (1500, "1.46 KiB"), (2**30, "1 GiB"), (1234567890, "1.15 GiB"), (-(2**21), "-2 MiB"),
     (1023 * 2**40, "1023 TiB"), (2**60, "1024 PiB"), (0.5, "0.5 B")],
)  # fmt: skip
def test_a_number_of_bytes_for_people_has_three_digits(size: float, text: str) -> None:
    assert human(size) == text

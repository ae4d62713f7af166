"""The machine of a program, from the first bytes of real ones."""

import platform
import sys
from pathlib import Path

import pytest

from include.lake.elf import machine_of


def header(machine: int, *, big: bool = False, bits: int = 2) -> bytes:
    order = "big" if big else "little"
    return b"\x7fELF" + bytes([bits, 2 if big else 1, 1]) + bytes(9) + (2).to_bytes(2, order) + machine.to_bytes(2, order) + bytes(44)


def test_this_machines_own_programs_are_known() -> None:
    assert machine_of(Path(sys.executable).resolve().read_bytes()[:64]) == platform.machine()


@pytest.mark.parametrize(
    ("head", "machine"),
    [
        (header(0x3E), "x86_64"),
        (header(0xB7), "aarch64"),
        (header(0x28, bits=1), "armv7l"),
        (header(0x03, bits=1), "i686"),
        (header(0xF3), "riscv64"),
        (header(0x15), "ppc64le"),
        (header(0x16, big=True), "s390x"),  # the number is stored in the program's own byte order
        (header(0x08), "machine 0x8"),
        (header(0x3E)[:20], "x86_64"),
        (header(0x3E)[:19], None),
        (b"", None),
        (b"#!/bin/sh\nexec true\n" * 4, None),
        (b"MZ" + bytes(62), None),
        (b"PK\x03\x04" + bytes(60), None),
        (b"\x1f\x8b" + bytes(62), None),
    ],
)
def test_the_machine_is_named_as_uname_does(head: bytes, machine: str | None) -> None:
    assert machine_of(head) == machine

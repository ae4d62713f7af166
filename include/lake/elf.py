"""The machine a program is built for, from its first bytes. Source: the ELF specification (e_machine, at byte 18)."""

_MACHINES = {0x03: "i686", 0x28: "armv7l", 0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64", 0x15: "ppc64le", 0x16: "s390x"}


def machine_of(head: bytes) -> str | None:
    """The machine as `uname -m` names it, or None when this is no ELF program.

    >>> machine_of(b"#!/bin/sh") is None
    True
    """
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return _MACHINES.get(number, f"machine {number:#x}")

"""QEMU's command line from a VM's configuration, and the credentials that stand in for cloud-init."""

import base64
import os
import re
import shlex
import urllib.parse
from pathlib import Path

from lab.pve.schema import DISK_KEY, split_properties

# PCI addresses are fixed, so that a disk plugged in later sits where a start would have put it: snapshots with memory need that.
NIC_ADDRESS, SERIAL_ADDRESS, FIRST_SCSI_ADDRESS, LAST_SCSI = 3, 4, 5, 25
ACCELERATORS = {"tcg": ["-accel", "tcg,thread=multi,tb-size=512"], "kvm": ["-accel", "kvm"]}


def disks(config: dict[str, str]) -> dict[str, tuple[str, dict[str, str]]]:
    """The VM's disks: slot → (volume id, options)."""
    return {k: split_properties(v, "file") for k, v in sorted(config.items()) if DISK_KEY.fullmatch(k) and not v.startswith("none")}


def block_node(slot: str, path: Path, options: dict[str, str]) -> dict[str, object]:
    """The QMP description of a disk's bytes."""
    discard = "unmap" if options.get("discard") == "on" else "ignore"
    return {"driver": "qcow2", "node-name": f"drive-{slot}", "discard": discard, "detect-zeroes": "unmap" if discard == "unmap" else "on",
            "read-only": options.get("ro") == "1",
            "file": {"driver": "file", "filename": str(path), "aio": "threads", "cache": {"direct": False, "no-flush": False},
                     "discard": discard}}  # fmt: skip


def controller(slot: str) -> dict[str, object]:
    """The QMP description of the SCSI controller of one disk (`virtio-scsi-single` has one for each)."""
    number = int(slot[4:])
    return {"driver": "virtio-scsi-pci", "id": f"virtioscsi{number}", "bus": "pci.0", "addr": hex(FIRST_SCSI_ADDRESS + number)}


def disk_device(slot: str, options: dict[str, str], *, single: bool) -> dict[str, object]:
    """The QMP description of a disk as the guest sees it."""
    number = int(slot[4:])
    place: dict[str, object] = {"bus": f"virtioscsi{number}.0", "scsi-id": 0, "lun": number} if single else \
        {"bus": "scsihw0.0", "scsi-id": 0, "lun": number}  # fmt: skip
    device = {"driver": "scsi-hd", **place, "drive": f"drive-{slot}", "id": slot, "device_id": f"drive-{slot}"}
    if options.get("ssd") == "1":
        device["rotation_rate"] = 1
    if serial := options.get("serial"):
        device["serial"] = serial
    return device


def credentials(config: dict[str, str], folder: Path) -> list[Path]:
    """What the real one puts on a cloud-init drive, as systemd credentials in files QEMU reads (so not on a command line)."""
    found: dict[str, str] = {}
    if match := re.search(r"(?:^|,)ip=([\d.]+/\d+)", config.get("ipconfig0", "")):
        gateway = re.search(r"(?:^|,)gw=([\d.]+)", config["ipconfig0"])
        lines = ["[Match]", "Name=e*", "[Network]", f"Address={match[1]}", "LinkLocalAddressing=no", "IPv6AcceptRA=no"]
        found["network.network.05-lan"] = "\n".join(lines + ([f"Gateway={gateway[1]}"] if gateway else [])) + "\n"
    if keys := urllib.parse.unquote(config.get("sshkeys", "")):
        home = "/root" if config.get("ciuser") == "root" else f"/home/{config.get('ciuser', 'debian')}"
        owner = "root" if home == "/root" else Path(home).name
        text = base64.b64encode(keys.encode()).decode()
        found["tmpfiles.extra"] = (f"d {home}/.ssh 0700 {owner} {owner} -\n"
                                   f"f+~ {home}/.ssh/authorized_keys 0600 {owner} {owner} - {text}\n")  # fmt: skip
    files = []
    for name, content in found.items():
        file = folder / f"{name}.credential"
        with open(file, "w", opener=lambda p, f: os.open(p, f, 0o600)) as out:
            out.write(f"io.systemd.credential.binary:{name}={base64.b64encode(content.encode()).decode()}")
        files.append(file)
    return files


def command(name: str, config: dict[str, str], folder: Path, accelerator: str, nics: list[tuple[str, str]], volume: object) -> list[str]:
    """The whole command line. `nics` are (tap, MAC); `volume` gives the path of a volume id."""
    import json

    if accelerator == "tcg" or config.get("kvm") == "0":
        cpu, accel = "max", ACCELERATORS["tcg"]
    else:
        cpu, accel = "host", ACCELERATORS["kvm"]
    single = config.get("scsihw") == "virtio-scsi-single"
    memory = re.sub(r"^current=", "", config.get("memory", "512"))
    args = ["qemu-system-x86_64", "-name", f"{config.get('name', name)},debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "pc,usb=off", *accel, "-cpu", cpu, "-m", memory, "-S", "-rtc", "base=utc",
            "-smp", f"{int(config.get('cores', 1)) * int(config.get('sockets', 1))}",
            "-qmp", f"unix:{folder}/qmp,server=on,wait=off", "-serial", f"file:{folder}/console.log",
            "-chardev", f"socket,path={folder}/agent,server=on,wait=off,id=qga0",
            "-device", f"virtio-serial-pci,id=qga0,bus=pci.0,addr={hex(SERIAL_ADDRESS)}",
            "-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"]  # fmt: skip
    if not single:
        args += ["-device", f"virtio-scsi-pci,id=scsihw0,bus=pci.0,addr={hex(FIRST_SCSI_ADDRESS)}"]
    for slot, (volid, options) in disks(config).items():
        if not slot.startswith("scsi") or options.get("media") == "cdrom":
            continue
        args += ["-blockdev", json.dumps(block_node(slot, volume(volid), options))]  # type: ignore[operator]
        args += ["-device", json.dumps(controller(slot))] if single else []
        args += ["-device", json.dumps(disk_device(slot, options, single=single) | ({"bootindex": 100} if slot == "scsi0" else {}))]
    for number, (tap, mac) in enumerate(nics):
        args += ["-netdev", f"tap,ifname={tap},script=no,downscript=no,vhost=off,id=net{number}",
                 "-device", f"virtio-net-pci,mac={mac},netdev=net{number},id=net{number}"
                 + (f",bus=pci.0,addr={hex(NIC_ADDRESS)}" if number == 0 else "")]  # fmt: skip
    for file in credentials(config, folder):
        args += ["-smbios", f"type=11,path={file}"]
    return args + shlex.split(config.get("args", ""))

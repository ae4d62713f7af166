"""QEMU's command line from a VM's configuration, and the credentials that stand in for cloud-init."""

import base64
import json
import os
import re
import shlex
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.pve.properties import DISK_KEY, NIC_MODELS, split_properties

# PCI addresses are fixed, so that a disk plugged in later sits where a start would have put it: snapshots with memory need that.
SERIAL_ADDRESS, FIRST_SCSI_ADDRESS, LAST_ADDRESS = 4, 5, 30
NIC_ADDRESSES = {0: 3, 1: 2}
ACCELERATORS = {"tcg": ["-accel", "tcg,thread=multi,tb-size=512"], "kvm": ["-accel", "kvm"]}
Device = dict[str, object]


def drives(config: dict[str, str]) -> dict[str, tuple[str, dict[str, str]]]:
    """All that is in the VM's slots: slot → (volume id, options)."""
    return {k: split_properties(v, "file") for k, v in sorted(config.items()) if DISK_KEY.fullmatch(k)}


def disks(config: dict[str, str]) -> dict[str, tuple[str, dict[str, str]]]:
    """The VM's disks, CD-ROMs left out: slot → (volume id, options)."""
    return {k: (volume, options) for k, (volume, options) in drives(config).items() if options.get("media") != "cdrom"}


def block_node(slot: str, path: Path, options: dict[str, str]) -> Device:
    """The QMP description of a drive's bytes."""
    cdrom = options.get("media") == "cdrom"
    discard = "unmap" if options.get("discard") == "on" else "ignore"
    return {"driver": "qcow2" if path.suffix == ".qcow2" else "raw", "node-name": f"drive-{slot}", "discard": discard,
            "detect-zeroes": "unmap" if discard == "unmap" else "on", "read-only": cdrom or options.get("ro") == "1",
            "file": {"driver": "file", "filename": str(path), "aio": "threads", "cache": {"direct": False, "no-flush": False},
                     "discard": discard}}  # fmt: skip


def controller(slot: str) -> Device:
    """The QMP description of the SCSI controller of one drive (`virtio-scsi-single` has one for each)."""
    number = int(slot[4:])
    return {"driver": "virtio-scsi-pci", "id": f"virtioscsi{number}", "bus": "pci.0", "addr": hex(FIRST_SCSI_ADDRESS + number)}


def drive_device(slot: str, options: dict[str, str], *, single: bool) -> Device:
    """The QMP description of a drive as the guest sees it."""
    bus, number = slot.rstrip("0123456789"), int(re.sub(r"\D", "", slot))
    if bus == "virtio":
        device: Device = {"driver": "virtio-blk-pci", "bus": "pci.0", "addr": hex(LAST_ADDRESS - number)}
    else:
        kind = "cd" if options.get("media") == "cdrom" else "hd"
        place: dict[str, Device] = {
            "scsi": {"bus": f"virtioscsi{number}.0" if single else "scsihw0.0", "scsi-id": 0, "lun": number, "device_id": f"drive-{slot}"},
            "ide": {"bus": f"ide.{number // 2}", "unit": number % 2}, "sata": {"bus": f"ahci0.{number}"},
        }  # fmt: skip
        device = {"driver": f"{'scsi' if bus == 'scsi' else 'ide'}-{kind}", **place[bus]}
        if options.get("ssd") == "1":
            device["rotation_rate"] = 1
    device |= {"drive": f"drive-{slot}", "id": slot}
    if serial := options.get("serial"):
        device["serial"] = urllib.parse.unquote(serial)
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


@dataclass(frozen=True)
class Nic:
    """A network card: its setting's name, driver and MAC, and the bridge with the tap on it (empty: a network of its own)."""

    id: str
    driver: str
    mac: str
    bridge: str
    tap: str


def nics(vmid: int, config: dict[str, str]) -> list[Nic]:
    """The VM's network cards."""
    found = []
    for key in sorted((k for k in config if re.fullmatch(r"net\d+", k)), key=lambda k: int(k[3:])):
        _, options = split_properties(config[key], "")
        mac = next((options.pop(m) for m in NIC_MODELS if m in options), "")
        driver = config[key].split(",")[0].split("=")[0]
        bridge = options.get("bridge", "")
        found.append(Nic(key, "virtio-net-pci" if driver == "virtio" else driver, mac, bridge, f"tap{vmid}i{key[3:]}" if bridge else ""))
    return found


def uncovered(config: dict[str, str]) -> str | None:
    """What a VM asks for that the lab's QEMU does not have: it must not start as something else."""
    if config.get("bios") == "ovmf":
        return "bios 'ovmf'"
    if "q35" in config.get("machine", ""):
        return "machine type 'q35'"
    if config.get("arch", "x86_64") != "x86_64":
        return f"architecture '{config['arch']}'"
    return next((f"device '{k}'" for k in sorted(config) if re.fullmatch(r"(hostpci|usb|virtiofs|parallel)\d+", k)), None)


def _memory(config: dict[str, str]) -> str:
    return config.get("memory", "512").removeprefix("current=")


def _drive_arguments(config: dict[str, str], volume: Callable[[str], Path]) -> list[str]:
    single, found = config.get("scsihw") == "virtio-scsi-single", drives(config)
    order = config.get("boot", "").removeprefix("order=").split(";")
    args = [] if single else ["-device", f"virtio-scsi-pci,id=scsihw0,bus=pci.0,addr={hex(FIRST_SCSI_ADDRESS)}"]
    if any(slot.startswith("sata") for slot in found):
        args += ["-device", "ahci,id=ahci0"]
    for slot, (volid, options) in found.items():
        device = drive_device(slot, options, single=single)
        if volid in ("none", "cdrom"):
            del device["drive"]
        else:
            args += ["-blockdev", json.dumps(block_node(slot, volume(volid), options))]
        args += ["-device", json.dumps(controller(slot))] if single and slot.startswith("scsi") else []
        args += ["-device", json.dumps(device | ({"bootindex": 100 + order.index(slot)} if slot in order else {}))]
    return args


def command(name: str, config: dict[str, str], folder: Path, accelerator: str, nics: list[Nic], volume: Callable[[str], Path]) -> list[str]:
    """The whole command line. `volume` gives the path of a volume id."""
    if accelerator == "tcg" or config.get("kvm") == "0":
        cpu, accel = "max", ACCELERATORS["tcg"]
    else:
        cpu, accel = "host", ACCELERATORS["kvm"]
    args = ["qemu-system-x86_64", "-name", f"{config.get('name', name)},debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "pc,usb=off", *accel, "-cpu", cpu, "-m", _memory(config), "-S", "-rtc", "base=utc",
            "-smp", f"{int(config.get('cores', 1)) * int(config.get('sockets', 1))}",
            "-qmp", f"unix:{folder}/qmp,server=on,wait=off", "-serial", f"file:{folder}/console.log",
            "-chardev", f"socket,path={folder}/agent,server=on,wait=off,id=qga0",
            "-device", f"virtio-serial-pci,id=qga0,bus=pci.0,addr={hex(SERIAL_ADDRESS)}",
            "-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"]  # fmt: skip
    args += _drive_arguments(config, volume)
    for number, nic in enumerate(nics):
        # A card without a bridge has a network of its own that leads nowhere: the lab sends nothing outside.
        backend = f"tap,ifname={nic.tap},script=no,downscript=no,vhost=off" if nic.tap else "user,restrict=on"
        place = f",bus=pci.0,addr={hex(NIC_ADDRESSES[number])}" if number in NIC_ADDRESSES else ""
        args += ["-netdev", f"{backend},id={nic.id}", "-device", f"{nic.driver},mac={nic.mac},netdev={nic.id},id={nic.id}{place}"]
    for file in credentials(config, folder):
        args += ["-smbios", f"type=11,path={file}"]
    return args + shlex.split(config.get("args", ""))

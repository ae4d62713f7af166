"""The Proxmox VE API: a slot's line, and answers in Proxmox's own form, over TLS on loopback."""

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from include.adapters.proxmox import Proxmox, parse_slot
from include.connections import Connection
from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.resources.vm_disk import SlotFacts, VmDiskState
from include.lake.secret import Secret
from include.lake.units import Size

GIB = 2**30


def disk(storage: str, size: int, *on: str) -> VmDiskState:
    return VmDiskState(storage, Size(size), ssd="ssd" in on, discard="discard" in on, backup="backup" in on, iothread="iothread" in on)


@pytest.mark.parametrize(
    ("line", "vmid", "state"),
    [
        ("local-lvm:vm-100-disk-1,backup=1,discard=on,iothread=1,size=500G,ssd=1", 100, disk("local-lvm", 500 * GIB, "ssd", "discard", "backup", "iothread")),
        ("local-lvm:vm-100-disk-1,size=500G", 100, disk("local-lvm", 500 * GIB, "backup")),  # Proxmox leaves its defaults out
        ("local-lvm:vm-100-disk-1,backup=0,discard=ignore,iothread=0,size=32G,ssd=0", 100, disk("local-lvm", 32 * GIB)),
        ("local:100/vm-100-disk-2.qcow2,size=512M", 100, disk("local", 512 * 2**20, "backup")),
        ("ceph:base-9000-disk-0/vm-100-disk-0,size=2T", 100, disk("ceph", 2048 * GIB, "backup")),
        ("local-lvm:vm-100-disk-1,size=4194304K", 100, disk("local-lvm", 4 * GIB, "backup")),
        ("local-lvm:vm-100-disk-1,size=1024", 100, disk("local-lvm", 1024, "backup")),
        ("local-lvm:vm-100-disk-1", 100, disk("local-lvm", 0, "backup")),
        ("local-lvm:vm-100-disk-1,aio=native,cache=writeback,mbps_rd=10,serial=abc,size=1G", 100, disk("local-lvm", GIB, "backup")),
    ],
)  # fmt: skip
def test_a_disk_of_the_vm_is_read(line: str, vmid: int, state: VmDiskState) -> None:
    assert parse_slot(line, vmid) == SlotFacts(line.split(",")[0], state, {})


@pytest.mark.parametrize(
    "line",
    [
        "none,media=cdrom",
        "local:iso/debian.iso,media=cdrom,size=600M",
        "local-lvm:vm-100-cloudinit,media=cdrom",
        "local-lvm:vm-101-disk-1,size=500G",
        "local-lvm:vm-1001-disk-1,size=500G",
        "local-lvm:vm-10-disk-1,size=500G",
        "local-lvm:base-100-disk-1,size=500G",
        "/dev/disk/by-id/ata-Samsung_SSD,size=500G",
    ],
)
def test_anything_else_in_a_slot_is_foreign(line: str) -> None:
    assert parse_slot(line, 100) is None


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pve")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = cert.public_bytes(serialization.Encoding.PEM)
    file = folder / "pve.pem"
    file.write_bytes(pem + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return file


class Node:
    """A node that gives prepared answers: (status, reason phrase, body) by `METHOD path`. `asked` are its requests."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str, str]] = []
        node, self.ca = self, certificate(folder)

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                path = self.path.removeprefix("/api2/json/")
                node.asked.append((f"{self.command} {path}", body, self.headers["Authorization"]))
                answer = node.answers[f"{self.command} {path.partition('?')[0]}"]
                status, reason, content = answer.pop(0) if isinstance(answer, list) else answer
                data = json.dumps(content).encode()
                self.send_response(status, reason)
                self.send_header("Content-Type", "application/json;charset=UTF-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def client(self, **extra: str) -> Proxmox:
        return Proxmox(Connection("proxmox", "proxmox", self.url, "homelake@pve!bootstrap", Secret("the-token-secret"), None, {"ca": str(self.ca)} | extra))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("pve"))
    yield node
    node.stop()


@pytest.fixture
def node(server: Node) -> Node:
    server.answers, server.asked = {f"GET {PENDING}": (200, "OK", {"data": []})}, []
    return server


CONFIG, PENDING, TASK = "nodes/pve/qemu/100/config", "nodes/pve/qemu/100/pending", "UPID:pve:0001:0002:68F0:qmconfig:100:homelake@pve!bootstrap:"


NODE_RUNS = "Check that the node runs, and vm.node in lake.yaml."


def test_it_shows_its_token(node: Node) -> None:
    node.answers["GET version"] = (200, "OK", {"data": {"version": "9.0"}})
    assert node.client().call("get", "version") == {"version": "9.0"}
    assert node.asked[0][2] == "PVEAPIToken=homelake@pve!bootstrap=the-token-secret"


@pytest.mark.parametrize(
    ("status", "reason", "body", "kind", "text"),
    [
        (401, "no such token 'bootstrap' for user 'homelake@pve'", {"data": None}, LakeError,
         "Unable to log in to Proxmox VE: no such token 'bootstrap' for user 'homelake@pve' (the token id or its secret is wrong). "
         "Check the connection 'proxmox'; ./lake doctor tries it."),
        (403, "Permission check failed (/vms/100, VM.Config.Disk)", {"data": None}, LakeError,
         "Unable to use Proxmox VE: Permission check failed (/vms/100, VM.Config.Disk). Give the token that privilege: ./lake doctor prints the pveum lines."),
        (400, "Parameter verification failed.", {"data": None, "errors": {"scsi1": "invalid format - unknown key 'sd'"}}, LakeError,
         "Unable to use Proxmox VE (GET version): Parameter verification failed. scsi1: invalid format - unknown key 'sd'."),
        (500, "Configuration file 'nodes/pve/qemu-server/100.conf' does not exist", {"data": None}, LakeError,
         "Unable to use Proxmox VE (GET version): Configuration file 'nodes/pve/qemu-server/100.conf' does not exist."),
        (595, "Connection refused", {"data": None}, Unreachable, f"Unable to reach the Proxmox VE node: Connection refused. {NODE_RUNS}"),
        (596, "Broken pipe", {"data": None}, Unreachable, f"Unable to reach the Proxmox VE node: Broken pipe. {NODE_RUNS}"),
        (503, "Service Unavailable", {"data": None}, Unreachable, f"Unable to reach the Proxmox VE node: Service Unavailable. {NODE_RUNS}"),
    ],
    ids=lambda v: str(v) if isinstance(v, int) else "",
)  # fmt: skip
def test_an_error_is_told_with_what_proxmox_said(node: Node, status: int, reason: str, body: Any, kind: type[LakeError], text: str) -> None:
    node.answers["GET version"] = (status, reason, body)
    with pytest.raises(LakeError) as caught:
        node.client().call("get", "version")
    assert str(caught.value) == text
    assert type(caught.value) is kind


def test_a_certificate_nobody_knows_is_told_with_what_to_set(node: Node) -> None:
    with pytest.raises(Unreachable, match=r"its certificate is not signed by a CA known here \(set extra\.ca of the connection to the CA's file\)"):
        node.client(ca="").call("get", "version")


def test_nobody_there_is_told_in_a_second(server: Node, tmp_path: Path) -> None:
    gone = Node(tmp_path)
    client = gone.client()
    gone.stop()
    with pytest.raises(Unreachable, match=rf"Unable to reach Proxmox VE: connection refused\. Check the connection 'proxmox' \({gone.url}\)\."):
        client.call("get", "version")


@pytest.mark.parametrize(("host", "login"), [("", "homelake@pve!bootstrap"), ("https://h:8006", "root@pam"), ("https://h:8006", "")])
def test_a_connection_that_is_no_token_is_told(host: str, login: str) -> None:
    with pytest.raises(LakeError, match=r"Set host to https://NODE:8006 and login to USER@REALM!TOKEN"):
        Proxmox(Connection("proxmox", "proxmox", host, login)).call("get", "version")


@pytest.mark.parametrize(
    "host", ["https://h:80x", "https://h:99999", "https://[::1", f"https://{'a' * 64}.example", "ftp://h", "https://a b:8006", "https://", "https://u:pw@h:x"]
)
def test_a_host_that_is_no_address_is_told(host: str) -> None:
    with pytest.raises(LakeError, match=r"Unable to read the connection 'proxmox': .* is no address of a server\. Write it as https://HOST:PORT\.") as caught:
        Proxmox(Connection("proxmox", "proxmox", host, "homelake@pve!b", Secret("x"))).call("get", "version")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("secret", ["SECRETX\n", "SEC\nRETX", "SECRETX\u20ac", "SECRETX "])
def test_a_token_that_cannot_be_sent_is_told_and_never_shown(node: Node, secret: str) -> None:
    with pytest.raises(LakeError, match="holds a character that no token has") as caught:
        Proxmox(Connection("proxmox", "proxmox", node.url, "homelake@pve!bootstrap", Secret(secret))).call("get", "version")
    assert "SECRETX" not in str(caught.value)
    assert "RETX" not in str(caught.value)


def test_what_cannot_be_put_into_a_request_is_told_without_its_text(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    client = node.client()

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("Invalid header value b'PVEAPIToken=x=SECRETX'")

    monkeypatch.setattr(client, "api", refuse)
    with pytest.raises(Unreachable, match="cannot be put into a request") as caught:
        client.call("get", "version")
    assert "SECRETX" not in str(caught.value)


def test_a_password_in_the_url_is_not_shown(server: Node, tmp_path: Path) -> None:
    gone = Node(tmp_path)
    gone.stop()
    url = gone.url.replace("//", "//u:SECRETZ@")
    with pytest.raises(Unreachable) as caught:
        Proxmox(Connection("proxmox", "proxmox", url, "homelake@pve!bootstrap", Secret("x"))).call("get", "version")
    assert "SECRETZ" not in str(caught.value)
    assert f"({gone.url})" in str(caught.value)


LINE = "local-lvm:vm-100-disk-1,backup=1,discard=on,size=500G,ssd=1"


def test_an_empty_slot_is_absent_and_a_foreign_one_refused(node: Node) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"scsi0": "local-lvm:vm-100-disk-0", "scsi2": "local:iso/x.iso,media=cdrom", "digest": "d1"}})
    assert node.client().slot("pve", 100, "scsi1") is None
    with pytest.raises(
        Refused, match=r"slot scsi2 of VM 100: it holds local:iso/x\.iso, which is not a disk of this VM\. Declare another slot in lake\.yaml: vm\.disk\.slot"
    ):
        node.client().slot("pve", 100, "scsi2")


def test_flags_that_wait_for_a_restart_are_told(node: Node) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"scsi1": LINE, "digest": "d1"}})
    node.answers[f"GET {PENDING}"] = (
        200,
        "OK",
        {"data": [{"key": "scsi1", "value": LINE, "pending": LINE.replace("ssd=1", "ssd=0")}, {"key": "name", "value": "x"}]},
    )
    facts = node.client().slot("pve", 100, "scsi1")
    assert facts is not None
    assert facts.state.ssd is True
    assert facts.pending == {"ssd": False, "discard": True, "backup": True, "iothread": False}
    assert node.asked[0][0] == f"GET {CONFIG}?current=1", "what runs, not what waits"


def test_a_disk_that_waits_for_the_vms_restart_is_told_with_the_remedy_and_not_added_again(node: Node) -> None:
    """Hotplug of disks is off: Proxmox keeps the new disk as pending, and would put it aside for another one."""
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"digest": "d1"}})
    node.answers[f"GET {PENDING}"] = (200, "OK", {"data": [{"key": "scsi1", "pending": LINE}]})
    told = (r"Unable to use slot scsi1 of VM 100: the disk local-lvm:vm-100-disk-1 waits there until the VM is stopped and started\. "
            r"Stop the VM and start it, and run again\. So that it takes on a disk while it runs: qm set 100 --hotplug network,disk,usb\.")  # fmt: skip
    with pytest.raises(Refused, match=told):
        node.client().slot("pve", 100, "scsi1")
    with pytest.raises(Refused, match=told):
        node.client().add_disk("pve", 100, "scsi1", disk("local-lvm", GIB))
    assert {asked.split()[0] for asked, _, _ in node.asked} == {"GET"}


@pytest.mark.parametrize("delete", [1, 2])
def test_a_deletion_that_waits_for_the_vms_stop_is_told_with_the_remedy(node: Node, delete: int) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"scsi1": LINE, "digest": "d1"}})
    node.answers[f"GET {PENDING}"] = (200, "OK", {"data": [{"key": "scsi1", "value": LINE, "delete": delete}]})
    with pytest.raises(
        Refused, match=r"its disk local-lvm:vm-100-disk-1 is to be taken off, .*as soon as the VM stops\. Keep it: qm set 100 --revert scsi1; or"
    ):
        node.client().slot("pve", 100, "scsi1")


UNLINK = "nodes/pve/qemu/100/unlink"


@pytest.mark.parametrize("answer", [(200, "OK", {"data": None}), (400, "Parameter verification failed.",
    {"data": None, "errors": {"scsi1": "hotplug problem - error on hot-unplugging device 'scsi1'"}})], ids=["hotplug is off", "the guest does not let go"])  # fmt: skip
def test_a_disk_that_the_vm_does_not_let_go_has_its_deletion_taken_back(node: Node, answer: Any) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"scsi1": LINE, "digest": "d1"}})
    node.answers[f"GET {PENDING}"] = (200, "OK", {"data": [{"key": "scsi1", "value": LINE, "delete": 2}]})
    node.answers[f"PUT {UNLINK}"], node.answers[f"PUT {CONFIG}"] = answer, (200, "OK", {"data": None})
    with pytest.raises(LakeError, match=r"while it runs, so it stays|hot-unplugging device"):
        node.client().remove_disk("pve", 100, "scsi1")
    assert sent(node, f"PUT {UNLINK}") == {"idlist": "scsi1", "force": "1"}
    assert sent(node, f"PUT {CONFIG}") == {"revert": "scsi1"}


def finished(node: Node, exitstatus: str) -> None:
    node.answers[f"GET nodes/pve/tasks/{TASK}/status"] = [
        (200, "OK", {"data": {"status": "running"}}),
        (200, "OK", {"data": {"status": "stopped", "exitstatus": exitstatus}}),
    ]


def sent(node: Node, call: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(next(body for asked, body, _ in node.asked if asked == call)))


def test_a_disk_is_added_with_the_digest_of_what_was_seen_and_its_task_is_waited_for(node: Node) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"digest": "d1"}})
    node.answers[f"POST {CONFIG}"] = (200, "OK", {"data": TASK})
    finished(node, "OK")
    node.client().add_disk("pve", 100, "scsi1", VmDiskState("local-lvm", Size(500 * GIB), ssd=True, discard=True, backup=True, iothread=None))
    assert sent(node, f"POST {CONFIG}") == {"digest": "d1", "scsi1": "local-lvm:500,backup=1,discard=on,ssd=1"}
    assert len([a for a in node.asked if "/tasks/" in a[0]]) == 2


def test_a_slot_that_was_taken_meanwhile_is_not_given_a_second_volume(node: Node) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"scsi1": LINE, "digest": "d1"}})
    with pytest.raises(Refused, match="the slot was taken in the meantime"):
        node.client().add_disk("pve", 100, "scsi1", disk("local-lvm", GIB))
    assert not [a for a in node.asked if a[0].startswith("POST")]


def test_a_task_that_fails_is_an_error_with_its_own_words(node: Node) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"digest": "d1"}})
    node.answers[f"POST {CONFIG}"] = (200, "OK", {"data": TASK})
    finished(node, "lvcreate 'pve/vm-100-disk-1' error: insufficient free space")
    with pytest.raises(LakeError, match="Unable to run the Proxmox task qmconfig: lvcreate 'pve/vm-100-disk-1' error: insufficient free space"):
        node.client().add_disk("pve", 100, "scsi1", disk("local-lvm", GIB))


def test_a_changed_flag_keeps_every_other_option_and_what_waits_already(node: Node) -> None:
    now, later = (
        "local-lvm:vm-100-disk-1,cache=writeback,discard=on,size=500G,ssd=1",
        "local-lvm:vm-100-disk-1,cache=writeback,discard=on,serial=x,size=500G,ssd=1",
    )
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"scsi1": now, "digest": "d2"}})
    node.answers[f"GET {PENDING}"] = (200, "OK", {"data": [{"key": "scsi1", "value": now, "pending": later}]})
    node.answers[f"POST {CONFIG}"] = (200, "OK", {"data": None})
    node.client().set_flags("pve", 100, "scsi1", {"ssd": False, "discard": False})
    assert sent(node, f"POST {CONFIG}") == {"digest": "d2", "scsi1": "local-lvm:vm-100-disk-1,cache=writeback,serial=x,discard=ignore,ssd=0"}


def test_a_change_by_someone_else_meanwhile_is_told(node: Node) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"digest": "d1"}})
    node.answers[f"POST {CONFIG}"] = (500, "detected modified configuration - file changed by other user? Try again.", {"data": None})
    with pytest.raises(LakeError, match="detected modified configuration"):
        node.client().add_disk("pve", 100, "scsi1", disk("local-lvm", GIB))


def test_the_controller_proxmox_leaves_out_is_lsi(node: Node) -> None:
    node.answers[f"GET {CONFIG}"] = (200, "OK", {"data": {"digest": "d1"}})
    assert node.client().scsihw("pve", 100) == "lsi"

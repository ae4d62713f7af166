"""lake_governance on real parts: drift of every kind at once is found in one run, told, and repaired; a part out of reach hides nothing.

What a run left is read out of Airflow's own database; the webhook is a server of the test's on loopback.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from lab.k8s.build import node_root
from lab.run import sh
from lab.site import find_lab
from tests.conftest import ROOT
from tests.e2e.conftest import Site
from tests.e2e.records import recording
from tests.e2e.test_drift import fstab, login, policy, quota, role, secret, settings, user

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
GIB = 1 << 30


def label(site: Site) -> None:
    site.lab.ssh("sudo e2label /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1 by-hand")


def unlabel(site: Site) -> None:
    """As the refusal says."""
    site.lab.ssh("sudo e2label /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1 homelake")


def program(site: Site) -> None:
    """A program of somebody's own, that works: a copy with a byte more, in the link's place."""
    site.lab.ssh("sudo sh -c 'cp --remove-destination $(readlink -f /usr/local/bin/minio) /usr/local/bin/minio && echo >>/usr/local/bin/minio'")


def disk(site: Site) -> None:
    """Out of the backups."""
    lab = site.lab
    url, headers = f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/100/config", {"Authorization": f"PVEAPIToken={lab['PVE_TOKEN_ID']}={lab['PVE_TOKEN_SECRET']}"}
    was = requests.get(url, headers=headers, verify=lab["PVE_CA"], timeout=30).json()["data"]["scsi1"]
    answer = requests.put(url, headers=headers, data={"scsi1": was.replace("backup=1", "backup=0")}, verify=lab["PVE_CA"], timeout=30)
    assert answer.status_code == 200, answer.text


TOPIC = {"name": "governed", "partitions": 1, "retention": "7 d"}


def topic(site: Site) -> None:
    """Kept for an hour only: to keep it longer again loses nothing."""
    short = ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    wanted = ConfigResource(ResourceType.TOPIC, TOPIC["name"], incremental_configs=[short])
    client = AdminClient({"bootstrap.servers": site.lab["KAFKA_BOOTSTRAP"], "log_level": 0})  # kept until it has answered: without it, it would end
    client.incremental_alter_configs([wanted])[wanted].result(30)


# What each change by hand must show: one of every kind of resource but the namespace, whose loss takes two others with it (below).
CHANGES = {
    disk: ("vm-disk/100/scsi1", {"backup"}),
    label: ("filesystem/scsi1", {"label"}),
    fstab: ("mount/mnt/minio_data", {"options"}),
    login: ("account/minio-user", {"login"}),
    program: ("binary/minio", {"sha256"}),
    settings: ("service/minio", {"environment", "current"}),
    quota: ("bucket/datalake", {"quota"}),
    policy: ("policy/spark-user", {"grants"}),
    user: ("user/spark-user", {"enabled"}),
    role: ("service-account/spark-jobs/spark-sa", {"rules"}),
    secret: ("keypair/spark-user", {"accepted"}),
    topic: ("topic/governed", {"config"}),
}
RESOURCE = {change: resource for change, (resource, _) in CHANGES.items()}


@dataclass
class Run:
    """What a run left in Airflow: its tasks' states, their XComs, the events of assets."""

    ok: bool
    text: str
    states: dict[str, str] = field(default_factory=dict)
    xcom: dict[str, Any] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def statuses(self) -> dict[str, str]:
        """How `check` found each resource, those as declared left out."""
        return {row["resource"]: row["status"] for row in self.xcom["check"] if row["status"] != "ok"}


class Governance:
    """The DAG on the lab, with a declaration and a webhook of the test's own."""

    def __init__(self, site: Site, folder: Path, hook: str) -> None:
        self.site, self.file, self.hook, self.posts = site, folder / "lake.yaml", hook, list[dict[str, str]]()
        self.declare()

    def declare(self, **governance: Any) -> None:
        """The shipped declaration, with the webhook and a topic."""
        content = yaml.safe_load((ROOT / "include/lake.yaml").read_text())
        notify = [{"kind": "webhook", "connection": "lake_webhook"}]
        self.file.write_text(yaml.safe_dump(content | {"kafka": {"topics": [TOPIC]}, "governance": {"notify": notify, **governance}}))

    def __call__(self, *, remediate: bool = False) -> Run:
        """Run it once."""
        self.posts.clear()
        env = {"HOMELAKE_FILE": str(self.file), "AIRFLOW_CONN_LAKE_WEBHOOK": json.dumps({"conn_type": "http", "host": self.hook})}
        conf = json.dumps({"remediate": remediate})
        done = self.site.lab.lake("airflow", "dags", "test", "lake_governance", "--conf", conf, check=False, env=env, timeout=1500)
        run = Run(done.returncode == 0, done.stdout + done.stderr)
        with closing(sqlite3.connect(f"file:{self.site.lab.state}/airflow/airflow.db?mode=ro", uri=True)) as db:
            (run_id,) = db.execute("select run_id from dag_run where dag_id = 'lake_governance' order by id desc limit 1").fetchone()
            assert run_id in run.text, f"no run began:\n{run.text[-3000:]}"
            run.states = dict(db.execute("select task_id, state from task_instance where run_id = ? and dag_id = 'lake_governance'", (run_id,)).fetchall())
            rows = db.execute("select task_id, value from xcom where run_id = ? and dag_id = 'lake_governance' and key = 'return_value'", (run_id,)).fetchall()
            run.xcom = {task: json.loads(value) for task, value in rows}
            found = db.execute("select a.name, e.extra from asset_event e join asset a on a.id = e.asset_id where e.source_run_id = ?", (run_id,)).fetchall()
        for name, extra in found:
            run.events.setdefault(name, []).append(json.loads(extra))
        assert self.site.lab["S3_ROOT_PASSWORD"] not in run.text
        return run


@pytest.fixture(scope="module")
def governance(converged: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governance]:
    """The DAG, and a server that takes what its notifier sends."""
    posts: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))) | {"path": self.path})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Governance(converged, tmp_path_factory.mktemp("governance"), f"http://127.0.0.1:{server.server_port}/hook")
    made.posts = posts
    converged.lab.lake("apply", "--yes", "topic/governed", "--file", str(made.file))
    yield made
    server.shutdown()
    server.server_close()


@pytest.mark.long
def test_a_lake_as_declared_is_told_so_and_nothing_is_written(governance: Governance) -> None:
    s3, unfinished = governance.site.s3(), {"Bucket": "datalake", "Key": "governance/unfinished"}
    unfinished["UploadId"] = s3.create_multipart_upload(**unfinished)["UploadId"]
    s3.upload_part(**unfinished, PartNumber=1, Body=b"x" * (5 << 20))
    try:
        with recording(governance.site.lab) as records:
            run = governance()
    finally:
        s3.abort_multipart_upload(**unfinished)
    assert run.ok, run.text[-4000:]
    assert run.states == {"declaration": "success", "check": "success", "repair": "skipped", "figures": "success", "verdict": "success"}
    assert (run.statuses(), run.events, governance.posts) == ({}, {}, [])
    assert records.writes() == {}
    assert records.minio and records.proxmox and records.commands, "a record is empty: it would see no write either"
    figures = run.xcom["figures"]
    assert {level["name"] for level in figures["levels"]} >= {"volume", "inodes"}
    assert figures["buckets"][0]["quota"] == 100 * GIB
    assert figures["uploads"]["count"] >= 1
    assert figures["uploads"]["bytes"] >= 5 << 20


def test_drift_of_every_kind_at_once_is_found_in_one_run_and_told(governance: Governance) -> None:
    for change in CHANGES:
        change(governance.site)
    run = governance()
    assert not run.ok
    assert run.states == {"declaration": "success", "check": "success", "repair": "skipped", "figures": "success", "verdict": "failed"}
    found = {row["resource"]: {c["field"] for c in row["changes"]} for row in run.xcom["check"] if row["status"] != "ok"}
    assert found == dict(CHANGES.values()), "exactly that, though so much was changed"
    (event,) = run.events["homelake/drift"]
    told = {r["resource"]: {c["field"]: (c["before"], c["after"]) for c in r["changes"]} for r in event["resources"]}
    assert told["bucket/datalake"] == {"quota": ("5 GiB", "100 GiB")}
    assert told["user/spark-user"] == {"enabled": ("no", "yes")}
    assert set(told) == set(RESOURCE.values())
    (post,) = governance.posts
    assert post["path"] == "/hook"
    for resource in RESOURCE.values():
        assert f"{resource} is not as declared" in post["text"], post["text"]
    assert "bucket/datalake is not as declared: quota: 5 GiB → 100 GiB." in run.text


def test_with_remediate_it_is_repaired_and_what_must_not_be_is_left(governance: Governance) -> None:
    """A label that somebody changed is left to them, and stops no other repair."""
    run = governance(remediate=True)
    repaired = {row["resource"] for row in run.xcom["repair"] if row["repaired"]}
    assert repaired >= set(RESOURCE.values()) - {RESOURCE[label]}, run.xcom["repair"]
    assert run.states["verdict"] == "failed"
    (post,) = governance.posts
    assert post["text"].count(" is not as declared") == 1
    assert "Unable to relabel filesystem/scsi1: its label was changed by someone" in post["text"]
    unlabel(governance.site)
    assert governance.site.plan()[0] == 0


@contextmanager
def kubernetes_away(site: Site) -> Iterator[None]:
    """Nobody outside its node reaches the API: its node refuses every connection."""
    # The node's own nft: the one of this machine may be too old for the tables that kube-proxy wrote, and crashes on them.
    nft = ["nsenter", f"--net=/run/netns/{find_lab(site.lab.name).node_netns}", "chroot", str(node_root()), "nft"]
    rules = "table inet away { chain input { type filter hook input priority -300; iifname != lo tcp dport 6443 reject with tcp reset; }; }"
    sh(*nft, "-f", "-", input=rules)
    try:
        yield
    finally:
        sh(*nft, "delete", "table", "inet", "away")


@pytest.mark.long
def test_a_part_out_of_reach_is_an_error_of_its_own_and_hides_no_drift(governance: Governance) -> None:
    site = governance.site
    quota(site)
    login(site)
    with kubernetes_away(site):
        run = governance()
    away = {"namespace/spark-jobs", "service-account/spark-jobs/spark-sa", "keypair/spark-user"}
    assert run.statuses() == dict.fromkeys(away, "unreachable") | {"bucket/datalake": "changes", "account/minio-user": "changes"}
    assert run.states["verdict"] == "failed"
    assert "OutOfReach: Unable to reach Kubernetes" in run.text
    (event,) = run.events["homelake/drift"]
    assert {r["resource"] for r in event["resources"]} == set(run.statuses())
    (post,) = governance.posts
    text = post["text"].split("\n", 1)[1]
    assert text.startswith("Unable to reach Kubernetes")
    assert "bucket/datalake is not as declared: quota: 5 GiB → 100 GiB." in text


@pytest.mark.long
def test_a_stopped_minio_and_a_lost_namespace_come_back_with_all_that_was_in_them(governance: Governance) -> None:
    """With the drift that is still there from before."""
    site = governance.site
    site.kubectl("delete", "namespace", "spark-jobs", "--timeout=120s")
    site.lab.ssh("sudo systemctl stop minio")
    run = governance(remediate=True)
    found = run.statuses()
    assert found["service/minio"] == found["namespace/spark-jobs"] == found["account/minio-user"] == "changes"
    assert {r for r, status in found.items() if status == "known after apply"} == {
        "bucket/datalake", "policy/spark-user", "user/spark-user", "service-account/spark-jobs/spark-sa", "keypair/spark-user"}  # fmt: skip
    assert run.ok, run.text[-4000:]
    assert site.plan()[0] == 0
    assert governance.posts == []


@pytest.mark.long
def test_what_fills_up_warns_and_then_fails(governance: Governance) -> None:
    """The thresholds are moved below what is there: to fill a volume takes longer."""
    lake = governance.site.lab.lake
    levels = json.loads(lake("usage", "--json").stdout)["levels"]
    share = next(level["used"] / level["limit"] for level in levels if level["name"] == "volume") * 100
    governance.declare(warn_at=f"{share / 2:.9f} %", fail_at="99 %")
    run = governance()
    assert run.ok, run.text[-4000:]
    (event,) = run.events["homelake/usage"]
    assert [w for w in event["warnings"] if w.startswith("volume is ")]
    done = lake("usage", "--file", str(governance.file), check=False)
    assert (done.returncode, "WARNING: volume is " in done.stdout) == (2, True)
    governance.declare(warn_at=f"{share / 4:.9f} %", fail_at=f"{share / 2:.9f} %")
    done = lake("usage", "--file", str(governance.file), check=False)
    assert (done.returncode, "FULL: volume is " in done.stdout) == (1, True)

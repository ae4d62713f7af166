"""What keeps something from being deleted, judged from what MinIO and Kubernetes say."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from include.adapters.host.storage import parse_mount, without_line
from include.adapters.kubernetes import Kubernetes
from include.adapters.kubernetes_removal import OURS, _guest, _strange
from include.adapters.minio import MinioServer
from include.adapters.minio.removal import lock_of
from include.connections import Connection
from include.lake.errors import LakeError
from include.lake.secret import Secret
from include.lake.spark import GROUP, VERSION

SPARK = f"{GROUP}/{VERSION}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODE, UNTIL, HOLD = "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold"


@pytest.mark.parametrize(("headers", "why"), [
    ({}, ""),
    ({"content-type": "text/plain"}, ""),
    ({MODE: "GOVERNANCE", UNTIL: "2026-01-01T00:00:01Z"}, "governance until 2026-01-01T00:00:01Z"),
    ({MODE: "COMPLIANCE", UNTIL: "2030-05-01T12:00:00.123Z"}, "compliance until 2030-05-01T12:00:00.123Z"),
    ({MODE: "GOVERNANCE", UNTIL: "2025-12-31T23:59:59Z"}, ""),
    ({HOLD: "ON"}, "legal hold"),
    ({HOLD: "OFF"}, ""),
    ({HOLD: "OFF", MODE: "GOVERNANCE", UNTIL: "2027-01-01T00:00:00Z"}, "governance until 2027-01-01T00:00:00Z"),
])  # fmt: skip
def test_a_lock_is_read_from_a_versions_headers(headers: dict[str, str], why: str) -> None:
    assert lock_of(headers, NOW) == why


def version(name: str, metadata: dict[str, str] | None = None, *, marker: bool = False) -> SimpleNamespace:
    return SimpleNamespace(object_name=name, version_id=f"v-{name}", metadata=metadata, is_delete_marker=marker)


class Store(MinioServer):
    """A MinIO whose listing and answers are given."""

    def __init__(self, versions: list[Any], heads: dict[str, dict[str, str]] | None = None, errors: list[Any] | None = None) -> None:
        super().__init__(Connection("minio_admin", "minio", "http://127.0.0.1:1", "root", Secret("root-password")))
        self.versions, self.heads, self.errors, self.asked = versions, heads or {}, errors or [], list[str]()
        self.said = list[str]()
        self.say = self.said.append
        self.__dict__["_s3"] = self

    def list_objects(self, name: str, **options: Any) -> list[Any]:
        return list(self.versions)

    def stat_object(self, bucket: str, name: str, version_id: str) -> SimpleNamespace:
        self.asked.append(version_id)
        return SimpleNamespace(metadata=self.heads.get(name, {}))

    def remove_objects(self, bucket: str, objects: list[Any]) -> list[Any]:
        self.versions = self.versions[len(objects) :] if not self.errors else self.versions
        return self.errors


def test_a_listing_with_headers_needs_no_further_call_and_one_without_is_asked_one_by_one() -> None:
    held = {"X-Amz-Object-Lock-Legal-Hold": "ON"}
    store = Store([version("a", {"etag": "1"}), version("b", marker=True), version("c", held)])
    assert (store.locked_object("x"), store.asked) == ("c: legal hold", [])
    store = Store([version("a"), version("b", marker=True), version("c")], {"c": held})
    assert (store.locked_object("x"), store.asked) == ("c: legal hold", ["v-a", "v-c"])
    assert Store([version("a", {"etag": "1"})]).locked_object("x") is None


def test_a_bucket_is_emptied_page_by_page_and_says_how_far_it_is() -> None:
    store = Store([version(str(n)) for n in range(2500)])
    store._empty("x")
    assert store.said == [f"bucket/x: {n} versions deleted" for n in (1000, 2000, 2500)]


def test_what_cannot_be_deleted_is_told_and_not_tried_for_ever() -> None:
    store = Store([version("a")], errors=[SimpleNamespace(name="a", message="Object is WORM protected", code="AccessDenied")])
    with pytest.raises(LakeError, match=r"Unable to empty bucket/x: a: Object is WORM protected \(AccessDenied\)\. Look at that object"):
        store._empty("x")


def owner(version: str, kind: str) -> dict[str, str]:
    return {"apiVersion": version, "kind": kind, "name": "x", "uid": "1"}


@pytest.mark.parametrize(("meta", "guest"), [
    ({"name": "mine"}, True),
    ({"name": "mine", "labels": {"app.kubernetes.io/managed-by": "Helm"}}, True),
    ({"name": "mine", "labels": {**OURS, "more": "1"}}, False),
    ({"name": "driver", "ownerReferences": [owner("sparkoperator.k8s.io/v1beta2", "SparkApplication")]}, False),
    ({"name": "executor", "ownerReferences": [owner("v1", "Pod")]}, False),
    ({"name": "web-x", "ownerReferences": [owner("apps/v1", "ReplicaSet")]}, False),
    ({"name": "kafka-0", "ownerReferences": [owner("core.strimzi.io/v1beta2", "StrimziPodSet")]}, True),
    ({"name": "train", "ownerReferences": [owner("example.org/v1", "Job")]}, True),
    ({"name": "kube-root-ca.crt"}, False),
    ({"name": "default"}, False),
    ({"name": "default-token-x", "annotations": {"kubernetes.io/service-account.name": "default"}}, False),
])  # fmt: skip
def test_who_is_a_guest_in_a_namespace(meta: dict[str, Any], guest: bool) -> None:
    assert _guest(meta) is guest


class Cluster(Kubernetes):
    """A cluster whose API is given by its paths. What it does not know it answers as the real one does, without an object."""

    def __init__(self, objects: dict[str, list[dict[str, Any]]], spark: list[str]) -> None:
        self.objects, self.spark, self.asked = objects, spark, list[str]()
        meta = SimpleNamespace(labels=dict(OURS))
        self.__dict__["core"] = SimpleNamespace(read_namespace=lambda name, **_: SimpleNamespace(metadata=meta))
        self.__dict__["api"] = self

    def call_api(self, path: str, method: str, **options: Any) -> dict[str, Any]:
        version = path.removeprefix("/apis/")
        if path == "/apis":
            return {"groups": [{"name": "apps", "versions": []}, *([{"name": GROUP, "versions": [{"groupVersion": SPARK}]}] if self.spark else [])]}
        if version == SPARK and self.spark:
            return {"resources": [{"kind": kind} for kind in self.spark]}
        kind = path.removeprefix("/api/v1/namespaces/spark/").removeprefix("/apis/apps/v1/namespaces/spark/").removeprefix("/apis/batch/v1/namespaces/spark/")
        if "/" in kind and kind.removeprefix(f"/apis/{SPARK}/namespaces/spark/") not in [f"{k.lower()}s" for k in self.spark]:
            raise ApiException(404, "Not Found", SimpleNamespace(status=404, reason="Not Found", data="404 page not found\n", headers={}, getheaders=dict))
        return {"items": self.objects.get(kind.rpartition("/")[2], [])}


@pytest.mark.parametrize("spark", [[], ["SparkApplication"], ["SparkApplication", "ScheduledSparkApplication"]], ids=str)
def test_a_namespace_is_looked_through_for_every_kind_of_work(spark: list[str]) -> None:
    kinds = {"jobs": "job", "cronjobs": "cron job", "daemonsets": "daemon set", "replicasets": "replica set", "statefulsets": "stateful set"}
    if len(spark) > 1:
        kinds["scheduledsparkapplications"] = "ScheduledSparkApplication"
    for plural, said in kinds.items():
        assert Cluster({plural: [{"metadata": {"name": "mine"}}]}, spark).guests("spark") == [f"{said} mine"]


def test_what_homelakes_own_jobs_have_in_their_namespace_is_no_guest() -> None:
    """The application carries the label; the driver is the application's, executors, service and settings are the driver's."""
    driver, application = [owner("v1", "Pod")], [owner(SPARK, "SparkApplication")]
    held = {
        "sparkapplications": [{"metadata": {"name": "states", "labels": dict(OURS)}}],
        "pods": [{"metadata": {"name": "states-driver", "ownerReferences": application}}, {"metadata": {"name": "states-exec-1", "ownerReferences": driver}}],
        "services": [{"metadata": {"name": "states-driver-svc", "ownerReferences": driver}}],
        "configmaps": [{"metadata": {"name": "spark-drv-conf-map", "ownerReferences": driver}}, {"metadata": {"name": "kube-root-ca.crt"}}],
        "serviceaccounts": [{"metadata": {"name": "default"}}],
    }
    assert Cluster(held, ["SparkApplication"]).guests("spark") == []


def test_what_is_there_and_lacks_the_label_is_strange() -> None:
    def made(labels: dict[str, str] | None) -> SimpleNamespace:
        return SimpleNamespace(metadata=SimpleNamespace(labels=labels))

    assert [_strange(x) for x in (None, made(None), made({}), made({**OURS}), made({**OURS, "more": "1"}))] == [False, True, True, False, False]


@pytest.mark.parametrize(("text", "left"), [
    ("a /x ext4 defaults 0 1\nb /y ext4 defaults 0 2\n", "a /x ext4 defaults 0 1\n"),
    ("# b /y ext4\n\nb\t/y ext4 defaults 0 2\nc /z ext4 defaults", "# b /y ext4\n\nc /z ext4 defaults"),
    ("a /x ext4 defaults 0 1", "a /x ext4 defaults 0 1"),
    ("b /y ext4 defaults 0 2\nb /y xfs defaults 0 2\n", ""),
    ("a /y/deeper ext4 defaults 0 1\n", "a /y/deeper ext4 defaults 0 1\n"),
    ("", ""),
])  # fmt: skip
def test_a_line_of_fstab_goes_and_every_other_stays(text: str, left: str) -> None:
    assert without_line(text, "/y") == left


def test_where_a_line_leads_is_read() -> None:
    text = "<fstab>\nLABEL=old /mnt/data ext4 defaults 0 2\n</fstab>\nleads_to=1111-2222\nmounted=1111-2222\n"
    facts = parse_mount(text, "/mnt/data")
    assert (facts.entry, facts.leads_to, facts.mounted_uuid) == (("LABEL=old", "ext4", "defaults"), "1111-2222", "1111-2222")
    assert parse_mount(text.replace("leads_to=1111-2222", "leads_to="), "/mnt/data").leads_to is None

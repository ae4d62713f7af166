"""What a Prometheus is told: conventions, no zero for what is not known, and fast enough for a large cluster."""

import re
from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from include.lake.metrics.exposition import exposition, families
from include.lake.metrics.fold import Fold
from include.lake.metrics.view import Snapshot
from tests.conftest import ROOT
from tests.timing import fastest
from tests.unit.lake.metrics.made import recorded_sweep

LAKE: dict[str, Any] = {
    "name": "homelake", "checked": 1_777_626_000.0, "run": None, "problems": [], "keys": [],
    "resources": [{"id": "bucket/datalake", "status": "changes", "changes": [], "error": None}, {"id": "mount/mnt/minio_data", "status": "ok", "changes": [], "error": None}],
    "levels": [{"name": "bucket datalake", "used": 90, "limit": 100, "share": 0.9, "mark": "warn", "per_day": 2.5, "full": None, "note": ""},
               {"name": "inodes", "used": 5, "limit": 1000, "share": 0.005, "mark": "ok", "per_day": None, "full": None, "note": "no history yet"}],
    "buckets": [{"name": "datalake", "objects": 7, "bytes": 90, "noncurrent": 2, "noncurrent_bytes": 10, "delete_markers": 1}],
}  # fmt: skip


def snapshot() -> Snapshot:
    """Of the two recorded sweeps."""
    fold = Fold()
    fold.fold(recorded_sweep(1), interval=2)
    return fold.fold(recorded_sweep(2), interval=2)


def known() -> tuple[Snapshot, dict[str, Any]]:
    """Of the recorded sweeps and the lake, with whatever a cluster and a lake may tell."""
    shot = snapshot()
    apps = []
    for a in shot.applications:
        pods = tuple(
            replace(p, bounds=replace(p.bounds, cpu_limit=2.0), now=replace(p.now, gc=0.01, disk=1.0, received=1.0, sent=1.0) if p.now else None)
            for p in a.pods
        )
        queries = tuple(replace(q, behind=12.0, watermark_delay=30.0) for q in a.queries)
        apps.append(replace(a, pods=pods, queries=queries, ended=a.ended or shot.at, churn=replace(a.churn, out_of_memory_at=shot.at)))
    return replace(shot, applications=tuple(apps)), {**LAKE, "levels": [{**level, "per_day": 0.5} for level in LAKE["levels"]]}


def samples(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_the_figures_of_a_pod_are_those_of_the_snapshot() -> None:
    shot = snapshot()
    found = samples(exposition(shot, None))
    stream = next(a for a in shot.applications if a.stream)
    assert stream.pods
    for pod in stream.pods:
        assert pod.now
        labels = tuple(sorted({"namespace": stream.namespace, "application": stream.name, "pod": pod.name, "role": pod.role}.items()))
        assert found["homelake_spark_pod_memory_working_set_bytes"][labels] == pod.now.memory
        assert found["homelake_spark_pod_cpu_cores"][labels] == pod.now.cpu
        assert found["homelake_spark_pod_memory_limit_bytes"][labels] == pod.bounds.memory_limit
        peaks = (pod.now.off_heap, pod.now.spark_off_heap, pod.now.direct, pod.now.mapped)
        assert None not in peaks
        assert peaks == tuple(found[f"homelake_spark_pod_{of}_peak_bytes"][labels] for of in ("off_heap", "spark_off_heap", "direct_buffers", "mapped_buffers"))
        assert found["homelake_spark_pod_sample_timestamp_seconds"][labels] == pod.now.at
    phases = {dict(labels)["phase"]: v for labels, v in found["homelake_spark_application_phase"].items() if dict(labels)["application"] == stream.name}
    assert (phases["running"], sum(phases.values())) == (1, 1)
    assert {dict(labels)["query"] for labels in found["homelake_stream_processed_rows_per_second"]} == {"bronze", "silver"}


def test_what_is_not_known_is_no_zero() -> None:
    shot = snapshot()
    blind = replace(shot, applications=tuple(replace(a, pods=tuple(replace(p, now=None) for p in a.pods), queries=()) for a in shot.applications))
    found = samples(exposition(blind, None))
    assert "homelake_spark_pod_cpu_cores" not in found
    assert "homelake_stream_input_rows_per_second" not in found
    assert exposition(None, None) == ""


def test_the_lake_is_told_as_its_view_has_it() -> None:
    found = samples(exposition(None, LAKE))
    drifted = {dict(labels)["resource"] for labels, v in found["homelake_lake_resource_status"].items() if v and dict(labels)["status"] == "changes"}
    assert drifted == {"bucket/datalake"}
    (used,) = found["homelake_lake_used_bytes"].values()
    assert used == 90
    (inodes,) = found["homelake_lake_limit_inodes"].values()
    assert inodes == 1000
    assert "homelake_lake_growth_inodes_per_day" not in found


def test_names_keep_to_the_conventions() -> None:
    for family in families(*known()):
        assert re.fullmatch(r"homelake(_[a-z]+)+", family.name)
        assert family.documentation.endswith(".")
        assert family.type in ("gauge", "counter")
        assert not family.name.endswith("_total"), "prometheus_client puts that behind counters itself"
    assert {line.split()[2] for line in exposition(*known()).splitlines() if line.startswith("# TYPE") and line.endswith(" counter")} == {
        f"{family.name}_total" for family in families(*known()) if family.type == "counter"
    }


def test_the_docs_have_each_metric_as_the_code_has_it() -> None:
    text = (ROOT / "docs/reference/metrics.md").read_text()
    documented = re.findall(r"^\| `(homelake_\w+)` \| (\w+) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    told = []
    for family in families(*known()):
        labels = sorted({label for sample in family.samples for label in sample.labels})
        name = family.name + ("_total" if family.type == "counter" else "")
        told.append((name, family.type, ", ".join(f"`{label}`" for label in labels) or "none", family.documentation))
    assert documented == sorted(told)


def test_a_lake_that_was_never_checked_is_told_without_a_moment() -> None:
    found = samples(
        exposition(None, {**LAKE, "checked": None, "resources": [], "levels": [], "buckets": [], "problems": ["Unable to show the lake: it has not run."]})
    )
    assert found == {"homelake_lake_info": {(("lake", "homelake"),): 1}, "homelake_lake_problems": {(("lake", "homelake"),): 1}}


def test_labels_are_escaped() -> None:
    shot = snapshot()
    odd = replace(shot.applications[0], name='a"b\\c\nd')
    (labels, *_) = samples(exposition(replace(shot, applications=(odd,)), None))["homelake_spark_application_phase"]
    assert dict(labels)["application"] == 'a"b\\c\nd'


def test_two_hundred_applications_of_twenty_executors_are_told_soon() -> None:
    shot = snapshot()
    stream = next(a for a in shot.applications if a.stream)
    pods = tuple(replace(stream.pods[-1], name=f"e{n}", executor=str(n)) for n in range(21))
    large = replace(shot, applications=tuple(replace(stream, name=f"job-{n}", pods=pods) for n in range(200)))
    assert exposition(large, LAKE).count("homelake_spark_pod_cpu_cores{") == 4200
    assert fastest(lambda: exposition(large, LAKE)) < 3.0

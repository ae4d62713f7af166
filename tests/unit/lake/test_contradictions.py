"""What declarations say against themselves: each case alone, and that the shipped one says nothing of the kind."""

from typing import Any

import pytest
import yaml

from include.lake.contradictions import contradictions
from include.lake.spec import LAKE_FILE, LakeSpec, read_spec


def declared(buckets: list[dict[str, Any]], **more: Any) -> LakeSpec:
    shipped = yaml.safe_load(LAKE_FILE.read_text())
    output = {"name": "output", "versioning": False}
    users = [{"name": "spark-user", "buckets": ["output"]}]
    document = {
        **shipped,
        "buckets": [*buckets, output],
        "users": users,
        "spark": {**shipped["spark"], "output": "s3a://output/x/", "event_logs": None},
        **more,
    }
    return LakeSpec.model_validate(document)


def locked(**more: Any) -> dict[str, Any]:
    return {"name": "kept", "object_lock": True, "retention": {"period": "30 d"}, **more}


def test_the_shipped_declaration_has_none() -> None:
    assert contradictions(read_spec()) == []


@pytest.mark.parametrize(
    ("bucket", "where", "happens"),
    [
        ({"name": "plain", "quota": "1 GiB"}, "buckets[0].quota", "kept as a noncurrent version for ever"),
        ({"name": "plain", "lifecycle": [{"delete_markers": True}]}, "buckets[0].lifecycle[0].delete_markers", "can never fire"),
        ({"name": "plain", "lifecycle": [{"delete_markers": True, "prefix": "a/"}, {"noncurrent": "1 d", "prefix": "b/"}]},
         "buckets[0].lifecycle[0].delete_markers", "can never fire"),
        (locked(lifecycle=[{"noncurrent": "7 d"}]), "buckets[0].lifecycle[0].noncurrent", "cannot fire after 7 d: retention keeps every version for 30 d"),
        (locked(lifecycle=[{"expire": "7 d"}, {"noncurrent": "30 d"}]), "buckets[0].lifecycle[0].expire", "after 7 d an object is hidden"),
        (locked(quota="30 GiB", lifecycle=[{"noncurrent": "30 d"}]), "buckets[0].quota", "full when more than 1.0 GiB a day is written; then every write fails, and only root"),
        (locked(retention={"period": "30 d", "mode": "compliance"}, quota="30 GiB", lifecycle=[{"noncurrent": "30 d"}]), "buckets[0].quota", "nobody can make room"),
    ],
    ids=["quota without lifecycle", "markers alone", "markers elsewhere", "noncurrent in retention", "expire in retention", "retention and quota", "compliance"],
)  # fmt: skip
def test_a_bucket_against_itself(bucket: dict[str, Any], where: str, happens: str) -> None:
    (found,) = contradictions(declared([bucket]))
    assert found.where == where
    assert happens in found.happens
    assert found.remedy
    assert " d d" not in str(found)
    assert str(found).startswith(f"{where}: ")


@pytest.mark.parametrize(
    "bucket",
    [
        {"name": "plain", "quota": "1 GiB", "lifecycle": [{"noncurrent": "30 d", "delete_markers": True}]},
        {"name": "plain", "lifecycle": [{"delete_markers": True, "prefix": "a/"}, {"noncurrent": "1 d"}]},
        locked(lifecycle=[{"noncurrent": "30 d"}]),
        {"name": "plain", "versioning": False, "quota": "1 GiB"},
    ],
    ids=["quota with lifecycle", "markers below a wider rule", "noncurrent after retention", "nothing is kept"],
)
def test_a_bucket_that_works_out(bucket: dict[str, Any]) -> None:
    assert contradictions(declared([bucket])) == []


def test_retention_where_spark_rewrites() -> None:
    spec = declared([])
    buckets = [{"name": "output", "object_lock": True, "retention": {"period": "9 d"}}]
    (found,) = contradictions(LakeSpec.model_validate({**yaml.safe_load(LAKE_FILE.read_text()), "buckets": buckets,
                                                       "users": [{"name": "spark-user", "buckets": ["output"]}],
                                                       "spark": {"image": "x", "output": spec.spark.output}}))  # fmt: skip
    assert (found.where, "WORM" in found.happens, "within 9 d" in found.happens) == ("buckets[0].retention", True, True)


def test_with_growth_the_day_is_told_and_a_slow_one_is_no_contradiction() -> None:
    spec = declared([locked(quota="30 GiB", lifecycle=[{"noncurrent": "30 d"}])])
    (found,) = contradictions(spec, {"kept": 2.0 * 2**30})
    assert "are full 15 d after the first write" in found.happens
    assert "writes fail for 15 d" in found.happens
    assert contradictions(spec, {"kept": 0.9 * 2**30}) == []


def test_quotas_beyond_the_disk() -> None:
    lifecycle = [{"noncurrent": "30 d"}]
    (found,) = contradictions(declared([{"name": n, "quota": "300 GiB", "lifecycle": lifecycle} for n in ("one", "two")]))
    assert (found.where, "600 GiB" in found.happens, "500 GiB" in found.happens) == ("buckets[].quota", True, True)


def test_append_only_without_versioning() -> None:
    users = [{"name": "spark-user", "buckets": ["output"]}, {"name": "feed", "role": "append-only", "buckets": ["plain/in/", "output"]}]
    (found,) = contradictions(declared([{"name": "plain"}], users=users))
    assert (found.where, "in output," in found.happens) == ("users[1].role", True)


def test_backups_without_the_data_disk() -> None:
    vm = {"node": "pve", "vmid": 100, "disk": {"backup": False}}
    (found,) = contradictions(declared([], vm=vm, backup={"schedule": "@daily"}))
    assert found.where == "backup.schedule"


@pytest.mark.parametrize(
    ("scanner", "told"),
    [
        ({"speed": "fastest", "cycle": "1 m"}, "with fastest a round begins every 1 s, not every 60 s"),
        ({"speed": "slowest", "cycle": "1 m"}, "with slowest a round begins every 1800 s, not every 60 s"),
        ({"speed": "fastest"}, ""),
        ({"speed": "fast", "cycle": "1 m"}, ""),
    ],
)
def test_a_cycle_that_minio_does_not_go_by(scanner: dict[str, str], told: str) -> None:
    shipped = yaml.safe_load(LAKE_FILE.read_text())
    found = contradictions(declared([], minio=shipped["minio"] | {"scanner": scanner}))
    assert [c.where for c in found] == ["minio.scanner.cycle"] * bool(told)
    assert all(told in c.happens for c in found)

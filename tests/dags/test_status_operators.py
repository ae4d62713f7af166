"""What is observed as rows, and what a job left in the lake, without a lab."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.lake.errors import Unreachable
from include.operators.status import CheckOutputOperator, ObserveOperator
from tests.dags.runs import LAKE, bootstrap, context
from tests.fakes.site import FakeSite


def test_what_was_observed_is_rows_without_secrets(site: FakeSite) -> None:
    bootstrap()
    rows = ObserveOperator(task_id="observe", lake=LAKE).execute(context())
    assert json.loads(json.dumps(rows)) == rows
    assert [(r["resource"], r["status"]) for r in rows] == [(r.id, "ok") for r in LAKE.resources()]
    details = {r["resource"]: r["detail"] for r in rows}
    assert details["bucket/datalake"].startswith("object_lock yes, versioning yes, quota 100 GiB, retention none, lifecycle ")
    assert "size 500 GiB" in details["vm-disk/100/scsi1"]
    assert not [d for d in details.values() if "password" in d or "(secret)" in d or len(d) > 300]


def test_a_part_out_of_reach_is_a_row_as_well(site: FakeSite) -> None:
    def gone(*args: Any) -> Any:
        raise Unreachable("MinIO", "connection refused")

    site.minio.bucket = gone  # type: ignore[method-assign]
    rows = ObserveOperator(task_id="observe", lake=LAKE).execute(context())
    assert len(rows) == len(LAKE.resources())


class Bucket:
    """S3 as the checker's hook shows it."""

    objects: dict[str, bytes]

    def __init__(self, aws_conn_id: str) -> None:
        assert aws_conn_id == "lake_s3"

    def check_for_key(self, key: str, bucket: str) -> bool:
        return key in self.objects

    def read_key(self, key: str, bucket: str) -> str:
        return self.objects[key].decode()

    def head_object(self, key: str, bucket: str) -> dict[str, Any] | None:
        assert bucket == "datalake"
        return {"ContentLength": len(self.objects[key])} if key in self.objects else None


WHEN = datetime(2026, 1, 2, 0, 5, tzinfo=UTC)
PART = "test-output/part-00000.snappy.parquet"


def committed(*files: str, when: datetime = WHEN) -> bytes:
    return json.dumps({"committer": "magic", "jobId": "j1", "timestamp": int(when.timestamp() * 1000), "filenames": list(files)}).encode()


def check_output(monkeypatch: pytest.MonkeyPatch, **objects: bytes) -> Any:
    monkeypatch.setattr("include.operators.status.S3Hook", type("Prepared", (Bucket,), {"objects": {f"test-output/{k}": v for k, v in objects.items()}}))
    return CheckOutputOperator(task_id="check", path="s3a://datalake/test-output/").execute(context())


def test_what_a_job_committed_is_seen_through_s3(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (f"/{PART}", f"s3a://datalake/{PART}"):
        found = check_output(monkeypatch, _SUCCESS=committed(name), **{"part-00000.snappy.parquet": b"PAR1"})
        assert found == {"files": {PART: 4}, "committer": "magic", "job": "j1"}


@pytest.mark.parametrize(
    ("objects", "cause"),
    [
        ({}, "there is no _SUCCESS: no job has committed there"),
        ({"_SUCCESS": b""}, "_SUCCESS is not a committer's summary"),
        ({"_SUCCESS": committed(f"/{PART}")}, rf"_SUCCESS names 1 files that are not there or are empty \({PART}\)"),
        ({"_SUCCESS": committed(f"/{PART}"), "part-00000.snappy.parquet": b""}, "not there or are empty"),
        ({"_SUCCESS": committed(), "part-00000.snappy.parquet": b"PAR1"}, r"the job committed no \.parquet file"),
        ({"_SUCCESS": committed("/test-output/x.csv"), "x.csv": b"1"}, r"the job committed no \.parquet file"),
        ({"_SUCCESS": committed(f"/{PART}", when=datetime(2026, 1, 1, tzinfo=UTC)), "part-00000.snappy.parquet": b"PAR1"},
         "its _SUCCESS is of 2026-01-01 00:00:00 UTC, before this run began"),
    ],
    ids=["nothing", "no summary", "file missing", "file empty", "no file", "no parquet", "of an earlier run"],
)  # fmt: skip
def test_a_green_job_whose_objects_are_missing_is_impossible(site: FakeSite, monkeypatch: pytest.MonkeyPatch, objects: dict[str, bytes], cause: str) -> None:
    with pytest.raises(AirflowFailException, match=cause):
        check_output(monkeypatch, **objects)

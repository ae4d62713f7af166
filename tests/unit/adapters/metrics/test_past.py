"""Finished jobs in the lake: what goes in comes out, a list reads footers only, and nothing else of the lake is touched."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.adapters.metrics import past as module
from include.adapters.metrics.parquet import encode
from include.adapters.metrics.past import Past
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.metrics.series import Series
from include.lake.metrics.view import ApplicationView, Bounds, Churn, Figures, Origin, PodView, Totals, Waste
from include.lake.secret import Secret
from tests.fakes.s3 import FakeS3, served

STARTED = datetime(2026, 11, 26, 22, 13, tzinfo=UTC).timestamp()
PREFIX = "_homelake/jobs/spark-jobs/"


@pytest.fixture
def store() -> Iterator[FakeS3]:
    with served() as store:
        yield store


@pytest.fixture
def past(store: FakeS3) -> Past:
    return Past(store.connection(), "datalake")


def pod(name: str) -> PodView:
    return PodView(name, "executor", "1", "n1", "Succeeded", "", "", 0, STARTED, STARTED + 60, Bounds(1.0, 1.0, 2.0**30, 2.0**30), None)


def job(name: str = "spark-job-1", started: float | None = STARTED, namespace: str = "spark-jobs", pods: int = 2) -> ApplicationView:
    return ApplicationView(namespace, name, "u", "done", "COMPLETED", "", started, STARTED + 60, False, "infra_status.py", Origin("lake_spark", "manual__1", "spark_job", 1),
                           ("s3a://datalake/infra_status/",), Bounds(), None, Totals(done=7), Churn(2), Waste(peak_cpu=0.5, enough_cpu={"driver": 0.6}),
                           tuple(pod(f"{name}-exec-{i}") for i in range(pods)))  # fmt: skip


def course(count: int = 3, **more: Any) -> Any:
    series = Series()
    for i in range(count):
        series.append(Figures(STARTED + 10 * i, cpu=0.123456789 * i, memory=2.0**30 + i, tasks=i if i else None, **more))
    return series.as_json()


def test_a_job_comes_back_as_it_was(past: Past, store: FakeS3) -> None:
    assert past.write(job(), {"exec-1": course(2), "total": course(3)}) == f"{PREFIX}20261126T221300Z-spark-job-1.parquet"
    assert list(store.objects) == [f"{PREFIX}20261126T221300Z-spark-job-1.parquet"]
    found = past.read("spark-jobs", "spark-job-1")
    assert found
    application = found["application"]
    assert (application["name"], application["origin"]["run_id"], application["waste"]["enough_cpu"], len(application["pods"])) == (
        "spark-job-1",
        "manual__1",
        {"driver": 0.6},
        2,
    )
    assert list(found["series"]) == ["total", "exec-1"]
    total = found["series"]["total"]
    assert set(total) == set(course())
    assert total["at"] == [STARTED, STARTED + 10, STARTED + 20]
    assert total["cpu"] == pytest.approx([0, 0.123457, 0.246914], abs=1e-6)
    assert total["memory"] == pytest.approx([2**30] * 3, rel=1e-5)
    assert total["tasks"] == [None, 1, 2]
    assert total["heap"] == [None] * 3
    assert len(found["series"]["exec-1"]["at"]) == 2


def test_what_is_no_number_is_not_kept_and_a_job_without_figures_is(past: Past) -> None:
    past.write(job(), {"total": {"at": [1.0, 2.0], "cpu": [float("nan"), float("inf")]}})
    found = past.read("spark-jobs", "spark-job-1")
    assert found
    assert found["series"]["total"]["cpu"] == [None, None]
    past.write(job("bare", None), {})
    bare = past.read("spark-jobs", "bare")
    assert bare
    assert bare["series"] == {}


def test_it_is_one_small_file_for_whole_days_of_twenty_executors(past: Past, store: FakeS3) -> None:
    past.write(job(pods=21), {name: course(512, heap=2.0**28, received=1e5 / 7) for name in ("total", *(f"e{i}" for i in range(21)))})
    (body,) = store.objects.values()
    assert len(body) < 250_000
    assert pq.read_metadata(io.BytesIO(body)).num_row_groups == 1
    assert body.count(b'"peak_cpu"') == 2, "the view and the summary of it, each once"


def test_a_list_has_the_newest_first_and_reads_footers_only(past: Past, store: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEWEST", 4)
    store.page = 2
    for i in range(6):
        past.write(job(f"job-{i}", STARTED + i, "other" if i % 2 else "spark-jobs"), {"total": course(400)})
    store.objects["_homelake/jobs/spark-jobs/notes.txt"] = b"x"
    store.objects["payments/x.parquet"] = b"x"
    monkeypatch.setattr(module, "TAIL", 3000)
    read: list[int] = []
    get = store.get
    monkeypatch.setattr(store, "get", lambda key, part: (read.append(len(get(key, part)[1])), get(key, part))[1])
    found = past.list()
    assert [j["name"] for j in found] == ["job-5", "job-4", "job-3", "job-2"]
    assert set(found[0]) == {"namespace", "name", "stamp", "main", "started", "ended", "phase", "totals", "waste", "origin"}
    assert found[0]["totals"]["done"] == 7
    assert sum(read) < sum(map(len, store.objects.values())) / 2
    store.asked.clear()
    assert past.list() == found
    assert {verb for verb, _ in store.asked} == {"list"}, "what was read once is known"


def test_a_footer_longer_than_expected_is_read_whole(past: Past, store: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAIL", 100)
    past.write(job(pods=300), {"total": course()})
    assert [j["name"] for j in past.list()] == ["spark-job-1"]


def test_a_job_written_again_is_the_new_one(past: Past) -> None:
    past.write(job(pods=1), {"total": course()})
    assert past.list()[0]["started"] == STARTED
    past.write(job(pods=3), {"total": course()})
    assert len(past.list()) == 1
    found = past.read("spark-jobs", "spark-job-1")
    assert found
    assert len(found["application"]["pods"]) == 3


def test_the_latest_of_a_name_is_read_and_never_one_that_only_ends_alike(past: Past) -> None:
    past.write(job("job-1", STARTED), {"total": course(1)})
    past.write(job("job-1", STARTED + 5), {"total": course(2)})
    past.write(job("a-job-1", STARTED + 9), {"total": course(3)})
    found = past.read("spark-jobs", "job-1")
    assert found
    assert len(found["series"]["total"]["at"]) == 2


def test_a_stream_that_was_started_again_is_told_by_its_start(past: Past, store: FakeS3) -> None:
    for i in range(3):
        past.write(job("payments-stream", STARTED + 60 * i), {"total": course(i + 1)})
    listed = past.list()
    assert [j["name"] for j in listed] == ["payments-stream"] * 3
    assert [j["stamp"] for j in listed] == ["20261126T221500Z", "20261126T221400Z", "20261126T221300Z"]
    assert [j["stamp"] for j in past.list()] == [j["stamp"] for j in listed], "and what was read once is told the same"
    store.asked.clear()
    found = [past.read("spark-jobs", "payments-stream", j["stamp"]) for j in listed]
    assert [(f["application"]["started"] - STARTED, len(f["series"]["total"]["at"])) for f in found if f] == [(120, 3), (60, 2), (0, 1)]
    assert {verb for verb, _ in store.asked} == {"get"}, "nothing has to be looked for"


@pytest.mark.parametrize("stamp", ["20261126T221301Z", "latest", "../20261126T221300Z", "20261126T221300Z-a", "20261126T221300Z\n"])
def test_what_did_not_start_then_is_none(past: Past, store: FakeS3, stamp: str) -> None:
    past.write(job("a-job"), {"total": course()})
    assert past.read("spark-jobs", "job", stamp) is None
    assert past.read("spark-jobs", "a-job", stamp) is None


@pytest.mark.parametrize(("namespace", "name"), [("spark-jobs", "nosuch"), ("../x", "job"), ("spark-jobs", "a/b"), ("", ""), ("spark-jobs", ".")])
def test_what_is_not_kept_is_none(past: Past, store: FakeS3, namespace: str, name: str) -> None:
    past.write(job(), {"total": course()})
    assert past.read(namespace, name) is None


def test_below_the_prefix_of_the_jobs(store: FakeS3) -> None:
    past = Past(store.connection(), "datalake", "raw/")
    past.write(job(), {"total": course()})
    assert list(store.objects) == [f"raw/{PREFIX}20261126T221300Z-spark-job-1.parquet"]
    assert len(past.list()) == 1


def test_a_file_that_is_none_of_ours_stops_no_list(past: Past, store: FakeS3) -> None:
    past.write(job(), {"total": course()})
    store.objects[f"{PREFIX}20261126T221300Z-broken.parquet"] = b"not a parquet"
    assert [j["name"] for j in past.list()] == ["spark-job-1"]
    with pytest.raises(LakeError, match=r"Unable to read _homelake/.*broken\.parquet: it is not a job as Homelake keeps it\."):
        past.read("spark-jobs", "broken")


def test_an_empty_lake_has_no_past(past: Past) -> None:
    assert past.list() == []


def test_a_refusal_and_a_store_out_of_reach_are_told(past: Past, store: FakeS3) -> None:
    store.refuse = "AccessDenied"
    with pytest.raises(LakeError, match=r"Unable to list datalake/_homelake/jobs/: MinIO answers AccessDenied\."):
        past.list()
    with pytest.raises(LakeError, match=r"Unable to write datalake/_homelake/jobs/.*: MinIO answers AccessDenied"):
        past.write(job(), {})
    away = Connection("lake_s3", "aws", "", "root", Secret("hunter2"), None, {"endpoint_url": "http://127.0.0.1:9", "region_name": "r1"})
    with pytest.raises(Unreachable) as caught:
        Past(away, "datalake").list()
    assert str(caught.value) == "Unable to reach MinIO for datalake/_homelake/jobs/: connection refused. See the connection lake_s3."
    assert "hunter2" not in str(caught.value)


def test_of_several_who_watched_the_course_that_begins_first_stays(past: Past, store: FakeS3) -> None:
    late = {"total": {"at": [STARTED + 50.0, STARTED + 60.0]}}
    early = {"total": {"at": [STARTED + 5.0, STARTED + 60.0]}}
    key = f"{PREFIX}20261126T221300Z-spark-job-1.parquet"
    assert [past.write_longest(job(), series) for series in (late, late, early, late, {})] == [key, "", key, "", ""]
    found = past.read("spark-jobs", "spark-job-1")
    assert found
    assert found["series"]["total"]["at"] == early["total"]["at"]
    assert list(store.objects) == [key]


def test_what_another_writes_meanwhile_is_looked_at_again(past: Past, store: FakeS3) -> None:
    def course_from(seconds: float) -> bytes:
        return encode(job(), {"total": {"at": [STARTED + seconds]}})

    mine = {"total": {"at": [STARTED + 10.0]}}
    store.meanwhile = [course_from(30)]
    assert past.write_longest(job(), mine) != "", "the other's begins later"
    store.objects.clear()
    store.meanwhile = [course_from(30), course_from(5)]
    assert past.write_longest(job(), mine) == "", "and then one that begins earlier"
    store.objects.clear()
    store.meanwhile = [course_from(30 + i) for i in range(9)]
    with pytest.raises(LakeError, match="somebody else writes it again and again"):
        past.write_longest(job(), mine)


def test_an_object_that_is_none_of_ours_does_not_keep_a_job_out(past: Past, store: FakeS3) -> None:
    store.objects[f"{PREFIX}20261126T221300Z-spark-job-1.parquet"] = b"nonsense"
    assert past.write_longest(job(), {"total": {"at": [STARTED]}}) != ""
    store.refuse = "AccessDenied"
    with pytest.raises(LakeError, match="MinIO answers AccessDenied"):
        past.write_longest(job(), {"total": {"at": [STARTED]}})

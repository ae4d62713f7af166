"""The view's reading of Airflow's own tables."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from include.dashboard.lake_view import DAG, read

MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def left(airflow: Any) -> Iterator[Any]:
    """Writes what a task left in a run; the run is made with its first."""
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.settings import engine
    from sqlalchemy import delete, insert, select

    def write(run_id: str, state: str = "success", dag_id: str = DAG, **xcoms: Any) -> None:
        with engine.begin() as db:
            db.exec_driver_sql("PRAGMA foreign_keys = off")  # of the tasks' own rows nothing is read
            db.execute(insert(DagRun).values(dag_id=dag_id, run_id=run_id, state=state, run_type="manual", run_after=MOMENT))
            number = db.scalar(select(DagRun.id).where(DagRun.run_id == run_id, DagRun.dag_id == dag_id))
            for task, value in xcoms.items():
                row = {"dag_run_id": number, "task_id": task, "map_index": -1, "key": "return_value", "dag_id": dag_id, "run_id": run_id, "value": value}
                db.execute(insert(XComModel).values(**row, timestamp=MOMENT))

    yield write
    with engine.begin() as db:
        db.execute(delete(XComModel))
        db.execute(delete(DagRun))


def row(resource: str, status: str = "ok") -> dict[str, Any]:
    return {"resource": resource, "action": "none", "changes": [], "pending": [], "status": status, "error": None, "usable": True}


FIGURES: dict[str, Any] = {"levels": [], "buckets": [], "warnings": [], "failures": [], "errors": [], "contradictions": []}


def test_nothing_has_run(left: Any) -> None:
    assert read("lake").problems == ("Unable to show the lake: lake_governance has not run yet. Trigger it.",)


def test_the_newest_run_is_shown(left: Any) -> None:
    left("old", check=[row("bucket/a", "changes")], figures=FIGURES)
    left("new", check=[row("bucket/a")], figures=FIGURES)
    left("another's", dag_id="lake_spark", check=[row("bucket/b")])
    seen = read("lake")
    assert (seen.name, seen.run, seen.checked) == ("lake", {"dag_id": DAG, "run_id": "new"}, MOMENT.timestamp())
    assert [(r["id"], r["status"]) for r in seen.resources] == [("bucket/a", "ok")]
    assert seen.problems == ()


def test_while_the_next_runs_the_one_before_it_is_shown(left: Any) -> None:
    left("done", check=[row("bucket/a")], figures=FIGURES)
    left("now", "running")
    seen = read("lake")
    assert seen.run == {"dag_id": DAG, "run_id": "done"}
    assert seen.problems == ()


def test_a_run_that_failed_at_once_hides_nothing_and_is_told(left: Any) -> None:
    left("done", check=[row("bucket/a")], figures=FIGURES)
    left("broken", "failed")
    seen = read("lake")
    assert len(seen.resources) == 1
    assert [p for p in seen.problems if "the run broken of lake_governance ended before its check did" in p]


def test_the_last_check_is_not_forgotten_however_many_runs_came_to_nothing(left: Any) -> None:
    """Else its age would be told no more, and the alert on that age would be over."""
    left("done", check=[row("bucket/a")], figures=FIGURES)
    for n in range(30):
        left(f"broken{n}", "failed")
    seen = read("lake")
    assert seen.checked == MOMENT.timestamp()
    assert [r["id"] for r in seen.resources] == ["bucket/a"]
    assert [p for p in seen.problems if "the run broken29 of lake_governance ended before its check did" in p]


def test_a_value_as_airflow_itself_encodes_it(left: Any) -> None:
    from airflow.models.xcom import XComModel

    left("new", check=XComModel.serialize_value([row("bucket/a")]), figures=FIGURES)
    assert [r["id"] for r in read("lake").resources] == ["bucket/a"]

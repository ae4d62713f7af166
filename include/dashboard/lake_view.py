"""How the lake stands, out of what the last run of lake_governance left in Airflow's database. The lake itself is not asked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from include.lake.survey import Status

DAG = "lake_governance"
TASKS = ("check", "repair", "figures")
RUNS = 10  # how far back is looked for a run that is over


@dataclass(frozen=True)
class Left:
    """What a task left in a run: its result, and when that was written (seconds since 1970)."""

    run_id: str
    value: Any
    at: float


@dataclass(frozen=True)
class LakeView:
    """The lake at a glance, as the page's document has it. `checked`: when every resource was last looked at."""

    name: str
    checked: float | None = None
    run: dict[str, str] | None = None
    resources: tuple[dict[str, Any], ...] = ()
    levels: tuple[dict[str, Any], ...] = ()
    buckets: tuple[dict[str, Any], ...] = ()
    keys: tuple[dict[str, Any], ...] = ()
    problems: tuple[str, ...] = field(default=())
    console: str = ""  # the address of MinIO's console for a browser, with a slash at its end; empty: not known

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def view(name: str, left: Mapping[str, Left], ended: tuple[str, str] | None) -> LakeView:
    """The view made of what the tasks left, by their ids. `ended`: the id and the state of the newest run that is over."""
    check, figures = left.get("check"), left.get("figures")
    rows: list[Mapping[str, Any]] = check.value if check else []
    facts: Mapping[str, Any] = figures.value if figures else {}
    # Another run's repairs say nothing of what this one found.
    repair = left.get("repair")
    repaired = {r["resource"]: r for r in repair.value or ()} if repair and check and repair.run_id == check.run_id else {}
    resources = tuple(_resource(row, repaired.get(row["resource"])) for row in rows)
    return LakeView(
        name, check.at if check else None, {"dag_id": DAG, "run_id": check.run_id} if check else None, resources,
        tuple(facts.get("levels", ())), tuple(_bucket(b) for b in facts.get("buckets", ())),
        tuple(facts.get("keys") or _keys(rows)), tuple(dict.fromkeys(_problems(rows, facts, check, figures, ended))),
    )  # fmt: skip


def _resource(row: Mapping[str, Any], repair: Mapping[str, Any] | None) -> dict[str, Any]:
    """One resource as it stands after the repairs of the same run."""
    if repair and repair["repaired"]:
        return {"id": row["resource"], "status": str(Status.OK), "changes": [], "error": None}
    error = (repair or {}).get("error") or row["error"]
    # A pending change is asked for already, and shows what waits.
    return {"id": row["resource"], "status": row["status"], "changes": row["changes"] or row["pending"], "error": error}


def _bucket(facts: Mapping[str, Any]) -> dict[str, Any]:
    old = facts["noncurrent"] or {}
    return {"name": facts["name"], "objects": facts["objects"], "bytes": facts["bytes"], "noncurrent": old.get("count"),
            "noncurrent_bytes": old.get("size"), "delete_markers": facts["delete_markers"]}  # fmt: skip


def _keys(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The key pairs by name, where the figures do not tell their age."""
    for row in rows:
        kind, _, name = row["resource"].partition("/")
        if kind == "keypair":
            yield {"name": name, "created": None}


def _problems(
    rows: Iterable[Mapping[str, Any]], facts: Mapping[str, Any], check: Left | None, figures: Left | None, ended: tuple[str, str] | None
) -> Iterator[str]:
    if check is None and ended is None:
        yield f"Unable to show the lake: {DAG} has not run yet. Trigger it."
    elif ended and ended[1] == "failed" and (check is None or ended[0] != check.run_id):
        yield f"Unable to show the lake as it is now: the run {ended[0]} of {DAG} ended before its check did. Look at its log."
    if check and figures is None:
        yield f"Unable to show how full the lake is: the task figures of {DAG} left nothing. Look at its log."
    elif check and figures and figures.run_id != check.run_id:
        yield f"How full the lake is comes from the earlier run {figures.run_id}: the newer one has not measured it."
    yield from (row["error"] for row in rows if row["status"] == Status.UNREACHABLE)
    yield from (error["text"] for error in facts.get("errors", ()))
    for kind in ("failures", "warnings", "contradictions"):
        yield from facts.get(kind, ())


def read(name: str) -> LakeView:
    """The view, from Airflow's database. `name`: the lake's. Only where Airflow lets code use a session: in its API server."""
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        runs = session.execute(select(DagRun.run_id, DagRun.state).where(DagRun.dag_id == DAG).order_by(DagRun.id.desc()).limit(RUNS)).all()
        newest = (  # of each task, however long ago: were the last check forgotten, nobody would be told that there is none any more
            select(XComModel.task_id, XComModel.run_id, XComModel.value, XComModel.timestamp)
            .where(XComModel.dag_id == DAG, XComModel.key == "return_value")
            .order_by(XComModel.dag_run_id.desc())
            .limit(1)
        )
        found = [row for task in TASKS for row in session.execute(newest.where(XComModel.task_id == task)).all()]
        left = {row.task_id: Left(row.run_id, XComModel.deserialize_value(row), _epoch(row.timestamp)) for row in found}
    over = next(((str(r.run_id), str(r.state)) for r in runs if str(r.state) in ("success", "failed")), None)
    return view(name, left, over)


def _epoch(moment: datetime) -> float:
    return moment.timestamp()

"""The tasks of payments_audit without a lab: which day they take, what they leave, announce and fail with."""

import copy
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, ParamValidationError

from include.adapters.audit import NothingThere
from include.lake.audit import AuditReport, Finding
from include.lake.spec.streams import Payments
from include.operators import audit as operators
from tests.dags.conftest import READING, STREAMING
from tests.dags.governed import Run
from tests.fakes.declared import streaming
from tests.fakes.site import FakeSite

LAKE = streaming()
DAG = STREAMING.bag.dags["payments_audit"]
PATH = "s3a://datalake/payments/"
CLEAN = AuditReport(PATH, {"records": 3}, (Finding("nothing is lost", 0, (), "Look"),))
WRONG = AuditReport(PATH, {"records": 3}, (Finding("nothing is lost", 2, ((0, 7, "e7"), (1, 9, "e9")), "Look at the driver's log"),))
TOLD = f"Unable to confirm {PATH}: nothing is lost: not so 2 times, first 0 7 e7; 1 9 e9. Look at the driver's log."


class Tasks(Run):
    """A run of the DAG's own tasks, of 10:45 on the 20th."""

    def __init__(self, **params: Any) -> None:
        super().__init__(lake=LAKE)
        self.context["params"] = DAG.params.dump() | params
        self.context["dag_run"] = SimpleNamespace(run_id="r1", run_after=datetime(2026, 11, 20, 10, 45, tzinfo=UTC))

    def task(self, name: str) -> Any:
        left = self.context["ti"].xcom[name, "return_value"] = DAG.get_task(name).execute(self.context)
        return left


@pytest.fixture
def audited(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the audit was asked, and with `report` what it finds; an error is raised."""
    asked: dict[str, Any] = {"report": CLEAN, "touched": set(), "days": []}

    seen = SimpleNamespace(touched=lambda since: asked["touched"])

    def audit(payments: Payments, connections: Any, say: Any, day: date | None, at: Any) -> AuditReport:
        assert at is seen
        asked.update(payments=payments, day=day)
        asked["days"].append(day)
        if isinstance(asked["report"], Exception):
            raise asked["report"]
        return asked["report"]  # type: ignore[no-any-return]

    site.connections = None  # type: ignore[attr-defined]
    monkeypatch.setattr(operators, "run_audit", audit)
    monkeypatch.setattr(operators, "look", lambda payments, connections: seen)
    return asked


def test_its_libraries_are_loaded_by_a_run_and_not_by_who_reads_the_dag() -> None:
    code = "import sys, include.operators.audit; print(sorted({'confluent_kafka', 'duckdb', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


def test_it_runs_as_declared_and_is_there_only_with_payments() -> None:
    assert LAKE.spec.payments
    assert DAG.schedule == LAKE.spec.payments.audit == "45 * * * *"
    assert [t.task_id for t in DAG.topological_sort()] == ["audit", "verdict"]
    assert "payments_audit" not in READING.bag.dags


def test_a_clean_audit_is_returned_and_announced(audited: dict[str, Any]) -> None:
    run = Tasks()
    assert run.task("audit") == CLEAN.as_dict() | {"error": None}
    assert audited["payments"] == LAKE.spec.payments
    (event,) = run.events(operators.AUDITED)
    assert (event["clean"], event["counts"], event["lake"], event["run"]) == (True, {"records": 3}, LAKE.spec.name, "r1")
    assert run.task("verdict") == "The payments in the lake are in order."


def test_a_finding_is_announced_with_the_first_keys_and_fails_the_verdict(audited: dict[str, Any]) -> None:
    audited["report"], run = WRONG, Tasks()
    assert run.task("audit") == WRONG.as_dict() | {"error": TOLD}
    (event,) = run.events(operators.AUDITED)
    assert (event["clean"], event["checks"][0]["first"], event["error"]) == (False, [["0", "7", "e7"], ["1", "9", "e9"]], TOLD)
    assert [a.name for a in DAG.get_task("audit").outlets if isinstance(a, AssetAlias)] == [operators.AUDITED.name]
    with pytest.raises(AirflowFailException) as caught:
        run.task("verdict")
    assert str(caught.value) == TOLD


@pytest.mark.parametrize(("params", "run_after", "day"), [
    ({}, datetime(2026, 11, 20, 10, 45, tzinfo=UTC), date(2026, 11, 20)),
    ({}, datetime(2026, 11, 20, 0, 45, tzinfo=UTC), date(2026, 11, 19)),
    ({}, datetime(2026, 11, 20, 2, 30, tzinfo=timezone(timedelta(hours=2))), date(2026, 11, 19)),
    ({"day": "2026-05-01"}, datetime(2026, 11, 20, 10, 45, tzinfo=UTC), date(2026, 5, 1)),
    ({"whole": True, "day": "2026-05-01"}, datetime(2026, 11, 20, 10, 45, tzinfo=UTC), None),
])  # fmt: skip
def test_the_day_is_the_one_asked_for_or_that_of_an_hour_before(audited: dict[str, Any], params: dict[str, Any], run_after: datetime, day: date | None) -> None:
    run = Tasks(**params)
    run.context["dag_run"].run_after = run_after
    run.task("audit")
    assert audited["day"] == day


def test_by_itself_a_day_with_nothing_is_skipped_and_asked_for_an_error(audited: dict[str, Any]) -> None:
    audited["report"] = NothingThere("audit", PATH, "it has nothing of it")
    with pytest.raises(AirflowSkipException, match="it has nothing of it"):
        Tasks().task("audit")
    with pytest.raises(AirflowFailException, match="it has nothing of it"):
        Tasks(day="2026-05-01").task("audit")


def test_days_that_got_files_lately_are_audited_too_and_judged_together(audited: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    today, others = date(2026, 11, 20), [date(2026, 5, n) for n in (1, 2, 3, 4)]
    audited["touched"], run = {today, *others}, Tasks()
    left = run.task("audit")
    assert audited["days"] == [today, *others[:0:-1]], "the newest three"
    assert (left["clean"], left["error"], len(left["also"])) == (True, None, 3)
    audited["report"] = WRONG
    left = run.task("audit")
    assert (left["clean"], left["error"].count(TOLD)) == (False, 4)
    audited["days"].clear()
    Tasks(day="2026-05-01").task("audit")
    assert audited["days"] == [date(2026, 5, 1)], "who asks for a day gets that"


def test_somebody_is_told_when_the_audit_itself_fails_and_not_when_there_was_nothing_to_audit(audited: dict[str, Any]) -> None:
    assert DAG.get_task("verdict").trigger_rule == "none_skipped"
    with pytest.raises(AirflowFailException, match="Unable to judge the payments in the lake: the task audit did not finish"):
        DAG.get_task("verdict").execute(Tasks().context)


def test_the_whole_lake_may_take_hours_and_a_day_one() -> None:
    for whole, hours in ((False, 1), (True, 12)):
        task = copy.copy(DAG.get_task("audit"))
        task.pre_execute(Tasks(whole=whole).context)
        assert task.execution_timeout == timedelta(hours=hours)


def test_a_day_that_is_none_is_refused(audited: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match="'yesterday' is no day"):
        Tasks(day="yesterday").task("audit")
    with pytest.raises(ParamValidationError):
        copy.deepcopy(DAG.params)["day"] = "yesterday"
    assert "day" not in audited, "nothing was read"

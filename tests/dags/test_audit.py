"""The task of payments_audit without a lab: what it leaves, announces and fails with."""

from typing import Any

import pytest
from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowFailException

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


class Task(Run):
    """A run of the DAG's own task."""

    def __init__(self) -> None:
        super().__init__(lake=LAKE)
        pushed = self.context["ti"].xcom
        self.context["ti"].xcom_push = lambda key, value: pushed.__setitem__(("audit", key), value)

    def __call__(self) -> Any:
        return DAG.get_task("audit").execute(self.context)


@pytest.fixture
def audited(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the audit was asked, and with `report` what it finds."""
    asked: dict[str, Any] = {"report": CLEAN}

    def audit(payments: Payments, connections: Any, say: Any) -> AuditReport:
        asked["payments"] = payments
        return asked["report"]  # type: ignore[no-any-return]

    site.connections = None  # type: ignore[attr-defined]
    monkeypatch.setattr(operators, "run_audit", audit)
    return asked


def test_it_runs_as_declared_and_is_there_only_with_payments() -> None:
    assert LAKE.spec.payments
    assert DAG.schedule == LAKE.spec.payments.audit == "45 * * * *"
    assert "payments_audit" not in READING.bag.dags


def test_a_clean_audit_is_returned_and_announced(audited: dict[str, Any]) -> None:
    run = Task()
    assert run() == CLEAN.as_dict()
    assert audited["payments"] == LAKE.spec.payments
    (event,) = run.events(operators.AUDITED)
    assert (event["clean"], event["counts"], event["lake"], event["run"]) == (True, {"records": 3}, LAKE.spec.name, "r1")


def test_a_finding_fails_the_task_with_the_first_keys_and_leaves_the_report(audited: dict[str, Any]) -> None:
    audited["report"], run = WRONG, Task()
    with pytest.raises(AirflowFailException) as caught:
        run()
    assert str(caught.value) == f"Unable to confirm {PATH}: nothing is lost: not so 2 times, first 0 7 e7; 1 9 e9. Look at the driver's log."
    assert run.left("audit") == WRONG.as_dict()
    assert [a.name for a in DAG.get_task("audit").outlets if isinstance(a, AssetAlias)] == [operators.AUDITED.name]

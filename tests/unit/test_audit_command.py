"""`./lake audit`: what it prints, and its exit codes."""

import json
from datetime import date
from typing import Any

import pytest

from include.commands import audit as commands
from include.lake.audit import COUNTS, AuditReport, Finding
from tests.fakes.declared import FILE
from tests.unit.test_cli import run

PATH = "s3a://datalake/payments/"
ZEROS = dict.fromkeys(COUNTS, 0)


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the audit was asked, and with `counts` and `wrong` what it finds."""
    asked: dict[str, Any] = {"counts": {}, "wrong": 0}

    def audit(payments: Any, connections: Any, say: Any, day: date | None) -> AuditReport:
        asked["day"] = day
        keys = tuple((0, n, f"e{n}") for n in range(asked["wrong"]))
        return AuditReport(payments.path, ZEROS | asked["counts"], (Finding("nothing is lost", asked["wrong"], keys, "Look"),), day)

    monkeypatch.setattr(commands, "run_audit", audit)
    monkeypatch.setattr(commands, "command_line_connections", lambda: None)
    monkeypatch.setenv("HOMELAKE_FILE", str(FILE))
    return asked


def test_a_clean_one(audited: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    audited["counts"] = {"records": 1200, "events": 1100, "dead": 40, "repeated": 60, "late": 5, "ahead": 3, "accounts": 7, "alerts": 4}
    code, out, _ = run(capsys, "audit")
    assert (code, audited["day"]) == (0, None)
    assert out.splitlines()[0] == "✓ nothing is lost"
    assert "1,200 records: 1,100 events of 7 accounts (5 late), 40 dead letters, 60 repetitions; 4 alerts." in out
    assert "3 records are left for the next audit" in out
    assert "Not checked" not in out


def test_what_was_not_checked_is_said(audited: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    audited["counts"] = {"removed": 1000, "unmarked": 7, "unjoined": 3}
    code, out, _ = run(capsys, "audit", "--day", "2026-05-01")
    assert (code, audited["day"]) == (0, date(2026, 5, 1))
    assert "Only 2026-05-01 was looked at: events by their own time, records by Kafka's." in out
    assert (
        "Not checked: whether all is there of 1,000 records that Kafka no longer holds; the marks of 7 events of batches that an older Homelake put together; "
        in out
    )
    assert "; what came before the first events of 3 accounts.\n" in out


def test_a_finding_is_exit_code_1_with_the_first_keys(audited: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    audited["wrong"] = 2
    code, out, err = run(capsys, "audit", "--json")
    assert code == 1
    assert json.loads(out)["checks"] == [{"check": "nothing is lost", "wrong": 2, "first": [["0", "0", "e0"], ["0", "1", "e1"]]}]
    assert f"Unable to confirm {PATH}: nothing is lost: not so 2 times, first 0 0 e0; 0 1 e1. Look." in err


def test_a_day_that_is_none_is_an_error(audited: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "audit", "--day", "yesterday")
    assert code == 1
    assert "'yesterday' is no day, as 2026-05-01" in err
    assert "day" not in audited, "nothing was read"

"""The audit of the stream, as two tasks: what is found, which is announced whatever it is, and whether that is well."""

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.adapters.audit import NothingThere, Seen, look, run_audit
from include.adapters.clients import Clients
from include.adapters.stream_run import stream_of
from include.lake.audit import AuditReport
from include.operators.base import LakeOperator
from include.operators.governance import GovernanceOperator

AUDITED = Asset("homelake/payments-audit")
BEFORE = timedelta(hours=1)  # a run looks at the day that it was so long before it: the first of a day at the whole day before
LATELY, MORE = timedelta(hours=2), 3  # and at as many further days as these, at most, that got files so lately


class AuditOperator(GovernanceOperator):
    """Hold the lake's payments against Kafka and against themselves. Reads only. What is wrong is told and announced here; `verdict` fails for it.

    Airflow takes no event from a task that fails, so the report is an event of the asset `homelake/payments-audit` of this task, clean or not.

    :param whole_timeout: the execution_timeout when the whole lake is asked for.
    """

    def __init__(self, *, whole_timeout: timedelta | None = None, **kwargs: Any) -> None:
        super().__init__(announces=AUDITED, **kwargs)
        self.whole_timeout = whole_timeout

    def pre_execute(self, context: Any) -> None:
        """Airflow asks for the timeout after this."""
        if context["params"].get("whole"):
            self.execution_timeout = self.whole_timeout

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns the report: of the day that is asked for, of the whole lake, or of the day it was an hour before the run, with those of the days
        that got files lately under `also`."""
        asked, reports, nothing = context["params"].get("day"), list[AuditReport](), ""
        payments, first = stream_of(self._lake).payments, _first(context)
        seen = look(payments, parts.connections)
        for day in (first, *self._others(first, seen, context)):
            try:
                report = run_audit(payments, parts.connections, self.log.info, day, seen)
            except NothingThere as error:
                if asked:
                    raise
                nothing = str(error)
            else:
                self._tell(report)
                reports.append(report)
        if not reports:
            raise AirflowSkipException(nothing)
        facts = _facts(*reports)
        self.announce(context, facts)
        return facts

    def _others(self, first: date | None, seen: Seen, context: Any) -> list[date]:
        if first is None or context["params"].get("day"):
            return []
        since = datetime.now(UTC) - LATELY
        found = sorted(seen.touched(since.timestamp() * 1000) - {first}, reverse=True)
        if left := found[MORE:]:
            self.log.warning("these days got files lately too and are not audited: %s. Audit the whole lake once", ", ".join(map(str, left)))
        return found[:MORE]

    def _tell(self, report: AuditReport) -> None:
        for finding in report.findings:
            said = f"not so {finding.wrong:,} times" if finding.wrong else "holds"
            self.log.log(logging.WARNING if finding.wrong else logging.INFO, "%s: %s", finding.check, said)
        self.log.info("%s", ", ".join(f"{n:,} {name}" for name, n in report.counts.items()))


class AuditVerdictOperator(LakeOperator):
    """Say whether what the audit found is well."""

    def work(self, context: Any, parts: Clients) -> str:
        """Fails with the first offending keys of every check that found something, and when there is no report."""
        report = context["ti"].xcom_pull(task_ids="audit")
        if report is None:
            raise AirflowFailException("Unable to judge the payments in the lake: the task audit did not finish. Look at its log.")
        if report["error"]:
            raise AirflowFailException(report["error"])
        return "The payments in the lake are in order."


def _facts(first: AuditReport, *others: AuditReport) -> dict[str, Any]:
    """One report of all: `clean` and `error` are of them together."""
    wrong = [str(error) for report in (first, *others) if (error := report.error())]
    also = {"also": [report.as_dict() for report in others]} if others else {}
    return first.as_dict() | also | {"clean": not wrong, "error": "\n".join(wrong) or None}


def _first(context: Any) -> date | None:
    """The day that is asked for, or that of an hour before the run; None for the whole lake."""
    asked = context["params"].get("day")
    if context["params"].get("whole"):
        return None
    try:
        return date.fromisoformat(asked) if asked else (context["dag_run"].run_after.astimezone(UTC) - BEFORE).date()
    except ValueError:
        raise AirflowFailException(f"{asked!r} is no day, as 2026-05-01") from None

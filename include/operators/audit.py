"""The audit of the stream, as two tasks: what is found, which is announced whatever it is, and whether that is well."""

import logging
from datetime import UTC, date, timedelta
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.adapters.audit import NothingThere, run_audit
from include.adapters.clients import Clients
from include.adapters.stream_run import stream_of
from include.operators.base import LakeOperator
from include.operators.governance import GovernanceOperator

AUDITED = Asset("homelake/payments-audit")
BEFORE = timedelta(hours=1)  # a run looks at the day that it was so long before it: the first of a day at the whole day before


class AuditOperator(GovernanceOperator):
    """Hold the lake's payments against Kafka and against themselves. Reads only. What is wrong is told and announced here; `verdict` fails for it.

    Airflow takes no event from a task that fails, so the report is an event of the asset `homelake/payments-audit` of this task, clean or not.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(announces=AUDITED, **kwargs)

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns the report: of the day that is asked for, of the whole lake, or of the day it was an hour before the run."""
        asked = context["params"].get("day")
        day = None if context["params"].get("whole") else _day(asked, context["dag_run"])
        try:
            report = run_audit(stream_of(self._lake).payments, parts.connections, self.log.info, day)
        except NothingThere as error:
            if asked:
                raise
            raise AirflowSkipException(str(error)) from None
        for finding in report.findings:
            self.log.log(
                logging.WARNING if finding.wrong else logging.INFO, "%s: %s", finding.check, f"not so {finding.wrong:,} times" if finding.wrong else "holds"
            )
        self.log.info("%s", ", ".join(f"{n:,} {name}" for name, n in report.counts.items()))
        wrong = report.error()
        facts = report.as_dict() | {"error": str(wrong) if wrong else None}
        self.announce(context, facts)
        return facts


class AuditVerdictOperator(LakeOperator):
    """Say whether what the audit found is well."""

    def work(self, context: Any, parts: Clients) -> str:
        """Fails with the first offending keys of every check that found something."""
        if error := context["ti"].xcom_pull(task_ids="audit")["error"]:
            raise AirflowFailException(error)
        return "The payments in the lake are in order."


def _day(asked: str | None, run: Any) -> date:
    try:
        return date.fromisoformat(asked) if asked else (run.run_after.astimezone(UTC) - BEFORE).date()
    except ValueError:
        raise AirflowFailException(f"{asked!r} is no day, as 2026-05-01") from None

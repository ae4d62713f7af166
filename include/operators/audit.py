"""The audit of the stream, as a task."""

import logging
from typing import Any

from airflow.sdk import Asset

from include.adapters.audit import run_audit
from include.adapters.clients import Clients
from include.adapters.stream_run import stream_of
from include.operators.governance import GovernanceOperator

AUDITED = Asset("homelake/payments-audit")


class AuditOperator(GovernanceOperator):
    """Hold the lake's payments against Kafka and against themselves. Reads only.

    The report is the XCom, whatever it says. A clean one is also an event of the asset `homelake/payments-audit`: Airflow takes none from a task that fails.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(announces=AUDITED, **kwargs)

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns the report. Fails with the first offending keys of every check that found something."""
        report = run_audit(stream_of(self._lake).payments, parts.connections, self.log.info)
        for finding in report.findings:
            self.log.log(
                logging.WARNING if finding.wrong else logging.INFO, "%s: %s", finding.check, f"not so {finding.wrong:,} times" if finding.wrong else "holds"
            )
        self.log.info("%s", ", ".join(f"{n:,} {name}" for name, n in report.counts.items()))
        self.announce(context, report.as_dict())
        if report.failed:
            context["ti"].xcom_push(key="return_value", value=report.as_dict())
        report.raise_failed()
        return report.as_dict()

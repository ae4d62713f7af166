"""Who is told when a run of lake_governance or payments_audit fails: Airflow's own notifiers, as the declaration names them."""

from importlib import import_module
from typing import Any

from include.lake.errors import SpecError
from include.lake.lake import Lake
from include.lake.spec.watch import Notify

TITLE = "Lake {name}: {{{{ dag.dag_id }}}} failed"
TEXT = "{{ exception }}\nRun {{ run_id }}: {{ ti.log_url }}"
_MISSING = "its Airflow provider is not installed. Add {package} to requirements.txt"


def notifiers(lake: Lake) -> list[Any]:
    """The callbacks of a failure. Raises SpecError for one whose provider is not installed. None are imported that nobody declared."""
    return [_notifier(n, lake.spec.name, f"governance.notify[{i}].kind: {n.kind}") for i, n in enumerate(lake.spec.governance.notify)]


def _notifier(notify: Notify, name: str, where: str) -> Any:
    title = TITLE.format(name=name)
    if notify.kind == "webhook":
        # `text` is what the incoming webhooks of most chats take; programs are better served by the asset's events.
        return _class("http.notifications.http", "HttpNotifier", where)(http_conn_id=notify.connection, json={"text": f"{title}\n{TEXT}"})
    if notify.kind == "email":
        body = f"<pre>{TEXT.replace('exception', 'exception | e')}</pre>"
        return _class("smtp.notifications.smtp", "SmtpNotifier", where)(smtp_conn_id=notify.connection, to=notify.to, subject=title, html_content=body)
    slack = _class("slack.notifications.slack", "SlackNotifier", where)
    return slack(slack_conn_id=notify.connection, channel=notify.to or "#general", text=f"{title}\n{TEXT}")


def _class(module: str, name: str, where: str) -> Any:
    try:
        return getattr(import_module(f"airflow.providers.{module}"), name)
    except ModuleNotFoundError:
        package = f"apache-airflow-providers-{module.partition('.')[0]}"
        raise SpecError("lake.yaml", (f"{where}: {_MISSING.format(package=package)}.",)) from None

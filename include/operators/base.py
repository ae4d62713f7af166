"""What Homelake's operators share: connections out of Airflow, clients that are kept, errors that say what to do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.exceptions import AirflowException, AirflowNotFoundException
from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import mask_secret

from include.adapters.clients import Clients
from include.connections import Connection, NotConfigured
from include.lake.errors import LakeError
from include.lake.secret import Secret

_SECRET_OPTIONS = ("private_key", "kube_config", "token", "sasl.password", "ssl.key.password", "ssl.key.pem")
_kept: Clients | None = None


def airflow_connection(conn_id: str) -> Connection:
    """A connection of Airflow's, wherever Airflow keeps it. Raises LakeError when there is none, or when it cannot be read."""
    try:
        c = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        # Airflow passes over every error of a place where it looks. Of the environment it can be told all the same that something is there.
        if os.environ.get(variable := f"AIRFLOW_CONN_{conn_id.upper()}"):
            raise LakeError(
                "read", f"the connection {conn_id!r}", "Airflow cannot read it: it is neither its JSON form nor a URI", f"Look at {variable}"
            ) from None
        raise NotConfigured("find", f"the connection {conn_id!r}", "it is not configured", "Add it in Admin → Connections, or see docs/how-to/real-site.md") from None  # fmt: skip
    except Exception as error:  # each secrets backend has an error class of its own
        raise LakeError("read", f"the connection {conn_id!r}", (str(error) or type(error).__name__).splitlines()[0], "Look at it in Admin → Connections") from None  # fmt: skip
    extra = c.extra_dejson
    for value in (c.password, *(extra.get(k) for k in _SECRET_OPTIONS)):
        if value:
            mask_secret(value)
    return Connection(conn_id, c.conn_type, c.host or "", c.login or "", Secret(c.password or ""), c.port, extra)


def clients(say: Any) -> Clients:
    """The clients of this process. They are kept, since an SSH log-in costs an emulated or small VM whole seconds."""
    global _kept
    if _kept is None:
        _kept = Clients(airflow_connection, say)
    return _kept


@contextmanager
def lake_errors() -> Iterator[None]:
    """A LakeError fails the task without a retry, unless the part could not be reached."""
    try:
        yield
    except LakeError as error:
        kind = AirflowException if error.retry else AirflowFailException
        raise kind(str(error)) from None


def same_declaration(context: Any, digest: str) -> None:
    """Raise LakeError when the run began with another declaration than the one that this task was read with."""
    began = context["ti"].xcom_pull(task_ids="declaration", key="digest") if digest else None
    if began and began != digest:
        raise LakeError("go on with", "this run", "include/lake.yaml was changed since it began", "Trigger a new run")


class LakeOperator(BaseOperator):
    """Base of Homelake's operators.

    :param digest: the declaration's digest at the time the DAG was read. A run that began with another one is refused.
    """

    ui_color = "#d7ecd9"

    def __init__(self, *, digest: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.digest = digest

    def execute(self, context: Any) -> Any:
        """Check the declaration, then do the task's work."""
        with lake_errors():
            if self.task_id != "declaration":
                same_declaration(context, self.digest)
            return self.work(context, clients(self.log.info))

    def work(self, context: Any, parts: Clients) -> Any:
        """What the task does. Its return value goes to XCom: JSON-ready and without secrets."""
        raise NotImplementedError

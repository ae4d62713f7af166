"""Connections: where each part of the lake is and who logs in. They are Airflow's own, read without importing Airflow.

`AIRFLOW_CONN_<ID>` in the environment wins, in Airflow's JSON form or as a URI; then what the site's facts give
(`include.settings`). Inside Airflow the operators take them from Airflow itself, which may also keep them in its database.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from include.lake.errors import LakeError
from include.lake.secret import Secret, SecretRef


class NotConfigured(LakeError):
    """There is no such connection; one that is there and cannot be read is another matter."""


@dataclass(frozen=True)
class Connection:
    """One connection. `extra` holds what its type has beyond host and log-in; its secrets are never shown."""

    id: str
    type: str
    host: str = ""
    login: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    port: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def option(self, name: str, default: str = "") -> str:
        """A key of extra, as text."""
        value = self.extra.get(name)
        return default if value is None else str(value)

    def as_json(self) -> str:
        """Airflow's JSON form, with the password: for the environment of a process, and nothing else."""
        whole = {"conn_type": self.type, "host": self.host, "login": self.login, "password": self.password.reveal(),
                 "port": self.port, "extra": dict(self.extra)}  # fmt: skip
        return json.dumps({k: v for k, v in whole.items() if v not in ("", None, {})})


Connections = Callable[[str], Connection]  # by id; raises LakeError when there is none


def parse_connection(conn_id: str, text: str) -> Connection:
    """A connection from Airflow's JSON or URI form. Raises LakeError when it is neither."""
    try:
        return _from_json(conn_id, json.loads(text)) if text.lstrip().startswith("{") else _from_uri(conn_id, text)
    except (ValueError, TypeError, LookupError):
        raise LakeError("read", f"the connection {conn_id!r}", "it is neither Airflow's JSON form nor a URI",
                        f"Look at AIRFLOW_CONN_{conn_id.upper()}") from None  # fmt: skip


def _from_json(conn_id: str, given: Mapping[str, Any]) -> Connection:
    port = given.get("port")
    return Connection(conn_id, str(given["conn_type"]), str(given.get("host") or ""), str(given.get("login") or ""), Secret(str(given.get("password") or "")),
                      int(port) if port else None, _extra(given.get("extra") or {}))  # fmt: skip


def _extra(given: object) -> Mapping[str, Any]:
    extra = json.loads(given) if isinstance(given, str) else given
    if not isinstance(extra, dict):
        raise ValueError("extra is no object")
    return extra


def _from_uri(conn_id: str, uri: str) -> Connection:
    parts = urlsplit(uri)
    if not parts.scheme:
        raise ValueError(uri)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = _extra(query["__extra__"]) if "__extra__" in query else query
    host = unquote(parts.hostname or "")
    return Connection(conn_id, parts.scheme.replace("-", "_"), host, unquote(parts.username or ""), Secret(unquote(parts.password or "")), parts.port, extra)


def from_environment(environment: Mapping[str, str]) -> Connections:
    """The connections that an environment holds."""

    def find(conn_id: str) -> Connection:
        text = environment.get(f"AIRFLOW_CONN_{conn_id.upper()}")
        if not text:
            raise NotConfigured("find", f"the connection {conn_id!r}", "it is not configured",
                                "Start the lab (./lake lab up), write site.env, or set it in Airflow: see docs/how-to/real-site.md")  # fmt: skip
        return parse_connection(conn_id, text)

    return find


def secret_of(connections: Connections, ref: SecretRef) -> Secret:
    """The secret a reference names: `password`, `login:password`, or a key of extra."""
    connection = connections(ref.connection)
    if ref.field == "password":
        return connection.password
    if ref.field == "login:password":
        return Secret(f"{connection.login}:{connection.password.reveal()}")
    return Secret(connection.option(ref.field))

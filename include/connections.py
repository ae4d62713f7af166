"""Connections: where each part of the lake is and who logs in. They are Airflow's own, read without importing Airflow.

`AIRFLOW_CONN_<ID>` in the environment wins, in Airflow's JSON form or as a URI; then what the site's facts give
(`include.settings`). Inside Airflow the operators take them from Airflow itself, which may also keep them in its database.
"""

import json
import re
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


def without_login(url: str) -> str:
    """A URL as it may be shown: without the login and password that some write before its host."""
    return re.sub(r"^([a-z][a-z0-9+.-]*://)?.*@", r"\1", url, flags=re.DOTALL | re.IGNORECASE)


def address(connection: Connection, text: str, scheme: str = "http") -> tuple[str, str, int | None]:
    """Scheme, host and port of an address that a connection holds; the scheme may be left out, and the port. Raises LakeError when it is none."""
    try:
        url = urlsplit(text if "//" in text else f"{scheme}://{text}")
        host, port = url.hostname or "", url.port
        good = (
            url.scheme in ("http", "https")
            and re.fullmatch(r"[^\s/@%]{1,253}", host)
            and all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
        )
    except ValueError:  # a port that is no number, half an IPv6 address
        good = None
    if not good:
        raise LakeError("read", f"the connection {connection.id!r}", f"{without_login(text)!r} is no address of a server" if text else "it names no server",
                        f"Write it as {scheme}://HOST:PORT")  # fmt: skip
    return url.scheme, host, port


def store_at(connection: Connection) -> tuple[str, str, int]:
    """Scheme, host and port at which a connection has MinIO. Raises LakeError when it has no address."""
    scheme, host, port = address(connection, connection.host)
    return scheme, host, port or connection.port or (443 if scheme == "https" else 80)


def secret_of(connections: Connections, ref: SecretRef) -> Secret:
    """The secret a reference names: `password`, `login:password`, or a key of extra."""
    connection = connections(ref.connection)
    if ref.field == "password":
        return connection.password
    if ref.field == "login:password":
        return Secret(f"{connection.login}:{connection.password.reveal()}")
    return Secret(connection.option(ref.field))

"""Who is told: Airflow's own notifiers, as declared, each really sent to somebody who listens on loopback."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from include.declare import unmarked
from include.lake.errors import SpecError
from include.lake.lake import build_lake
from include.lake.spec import LAKE_FILE, LakeSpec
from include.operators.notify import notifiers
from tests.dags.conftest import ROOT

CONTEXT = {"dag": SimpleNamespace(dag_id="lake_governance", get_template_env=None), "run_id": "r1", "exception": "bucket/datalake <is> not\nas declared",
           "ti": SimpleNamespace(log_url="http://airflow/log")}  # fmt: skip
TEXT = "Lake homelake: lake_governance failed\nbucket/datalake <is> not\nas declared\nRun r1: http://airflow/log"


def lake(*notify: dict[str, str]) -> Any:
    content = yaml.safe_load(LAKE_FILE.read_text())
    return build_lake(LakeSpec.model_validate(content | {"governance": {"notify": list(notify)}}))


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def context() -> dict[str, Any]:
    from jinja2 import Environment

    return CONTEXT | {"dag": SimpleNamespace(dag_id="lake_governance", get_template_env=lambda **_: Environment(), render_template_as_native_obj=False)}


def test_nobody_is_told_unless_it_is_declared() -> None:
    assert notifiers(lake()) == []


def test_a_webhook_is_really_called(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        monkeypatch.setenv("AIRFLOW_CONN_LAKE_WEBHOOK", json.dumps({"conn_type": "http", "host": f"http://127.0.0.1:{port}/hook/abc"}))
        (told,) = notifiers(lake({"kind": "webhook", "connection": "lake_webhook"}))
        told(context())
    assert got == [("/hook/abc", {"text": TEXT})]


def test_an_email_is_really_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    mails: list[str] = []

    class Smtp(socketserver.StreamRequestHandler):
        """The least of RFC 5321 that smtplib speaks."""

        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp)) as port:
        extra = {"from_email": "lake@example.org", "disable_ssl": True, "disable_tls": True}
        monkeypatch.setenv("AIRFLOW_CONN_LAKE_MAIL", json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}))
        (told,) = notifiers(lake({"kind": "email", "connection": "lake_mail", "to": "owner@example.org"}))
        told(context())
    mail = message_from_string(mails[0])
    assert (mail["To"], mail["From"], mail["Subject"]) == ("owner@example.org", "lake@example.org", "Lake homelake: lake_governance failed")
    (body,) = [part.get_payload(decode=True) for part in mail.walk() if part.get_content_type() == "text/html"]
    assert body == b"<pre>bucket/datalake &lt;is&gt; not\nas declared\nRun r1: http://airflow/log</pre>"


def test_a_kind_whose_provider_is_not_installed_is_refused_with_what_to_add() -> None:
    with pytest.raises(SpecError, match=r"governance\.notify\[0\]\.kind: slack: its Airflow provider is not installed\. Add apache-airflow-providers-slack to requirements\.txt\."):  # fmt: skip
        notifiers(lake({"kind": "slack", "connection": "lake_slack", "to": "#lake"}))


def test_in_airflow_that_is_an_import_error_of_the_dags_that_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    content = yaml.safe_load(unmarked(LAKE_FILE.read_text())) | {"governance": {"schedule": "*/5 * * * *", "notify": [{"kind": "slack", "connection": "x"}]}}
    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("HOMELAKE_FILE", str(file))
    bag = DagBag(str(ROOT / "dags"))
    assert {Path(name).name for name in bag.import_errors} == {"lake_governance.py", "payments_audit.py"}
    content["governance"]["notify"] = [{"kind": "webhook", "connection": "x"}]
    file.write_text(yaml.safe_dump(content))
    dags = DagBag(str(ROOT / "dags")).dags
    for name in ("lake_governance", "payments_audit"):
        assert [type(n).__name__ for n in dags[name].get_task("verdict").on_failure_callback] == ["HttpNotifier"], name
    assert dags["lake_governance"].schedule == "*/5 * * * *"

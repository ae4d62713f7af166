"""The environment of a run without Astro: `airflow_settings.yaml`, completed by the facts of a site or of a lab.

A site's facts are `KEY=value` lines under the names that `./lake lab env` prints. They come from the file that HOMELAKE_SITE
names, else from `site.env` at the project's root, else from the lab that HOMELAKE_LAB names (`demo`).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from include.connections import Connection, Connections, from_environment
from include.facts import KAFKA, parse_facts, read_facts
from include.lake.errors import LakeError
from include.lake.secret import Secret

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "airflow_settings.yaml"
NEEDED = ("proxmox", "minio_admin", "lake_s3")  # connections with a secret, which the settings never hold


class NoFacts(LakeError):
    """There is neither a site's file nor a lab that was started."""


def site_facts(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The facts of the site in use. Raises LakeError when there are none, unless the environment itself gives the connections (then: empty)."""
    named = environment.get("HOMELAKE_SITE")
    path = Path(named) if named else ROOT / "site.env"
    try:
        there = path.is_file()
    except OSError:  # in a folder that is closed to us: reading it says so
        there = True
    if named and not there:
        raise LakeError("read", f"the site's facts {named}", "there is no such file", "Correct HOMELAKE_SITE; docs/how-to/real-site.md shows its form")
    if there:
        return read_facts(path)
    done = subprocess.run([sys.executable, "-m", "lab", "env"], cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**environment, "PYTHONPATH": str(ROOT)})  # fmt: skip
    if done.returncode == 0:
        return parse_facts(done.stdout)
    if all(f"AIRFLOW_CONN_{conn_id.upper()}" in environment for conn_id in NEEDED):
        return {}
    raise _no_facts(done.stderr)


def _no_facts(said: str) -> NoFacts:
    """The lab's own sentence, with the other way to go on."""
    last = (said.strip().splitlines() or [""])[-1]
    other = "write site.env (docs/how-to/real-site.md)"
    if told := re.fullmatch(r"Unable to (\S+) (.+?): (.+?)\.(?: (.+)\.)?", last):
        verb, what, cause, remedy = told.groups()
        return NoFacts(verb, what, cause, f"{remedy}, or {other}" if remedy else other.capitalize())
    return NoFacts("find", "the lake's connections", f"there is no site.env, and the lab does not answer ({last or 'it said nothing'})", other.capitalize())


def connections(facts: Mapping[str, str]) -> dict[str, Connection]:
    """Every connection of the settings, completed by the facts: what a fact says wins, what none says stays."""
    with _readable_settings():
        base = {c["conn_id"]: _declared(c) for c in _settings().get("connections") or []}
    return base | {c.id: _completed(base.get(c.id), c) for c in _from_facts(facts)} if facts else base


def _settings() -> dict[str, Any]:
    return dict((yaml.safe_load(SETTINGS.read_text(encoding="utf-8")) or {}).get("airflow") or {})


@contextmanager
def _readable_settings() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        line = f", line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        raise LakeError(
            "read", str(SETTINGS), f"it is not in the form of Astro's settings ({type(error).__name__}{line})", "See docs/reference/connections.md"
        ) from None


def _completed(base: Connection | None, given: Connection) -> Connection:
    if base is None:
        return given
    return Connection(given.id, given.type, given.host or base.host, given.login or base.login, given.password or base.password,
                      given.port or base.port, {**base.extra, **given.extra})  # fmt: skip


def _declared(entry: Mapping[str, Any]) -> Connection:
    extra = entry.get("conn_extra") or {}
    return Connection(entry["conn_id"], entry["conn_type"], entry.get("conn_host") or "", entry.get("conn_login") or "", Secret(entry.get("conn_password") or ""),
                      entry.get("conn_port") or None, json.loads(extra) if isinstance(extra, str) else extra)  # fmt: skip


def _from_facts(f: Mapping[str, str]) -> list[Connection]:
    def extra(**values: Any) -> dict[str, Any]:
        return {k: v for k, v in values.items() if v}

    region, endpoint, ca = f.get("S3_REGION", ""), f.get("S3_ENDPOINT", ""), f.get("S3_CA", "")
    root, password = f.get("S3_ROOT_USER", ""), Secret(f.get("S3_ROOT_PASSWORD", ""))
    token, secret = (f.get(f"PVE_BOOTSTRAP_TOKEN_{x}") or f.get(f"PVE_TOKEN_{x}", "") for x in ("ID", "SECRET"))
    return [
        Connection("proxmox", "proxmox", f.get("PVE_URL", ""), token, Secret(secret), None, extra(ca=f.get("PVE_CA"))),
        Connection("lake_host", "ssh", f.get("SSH_HOST", ""), f.get("SSH_USER", ""), Secret(""), _port(f.get("SSH_PORT")),
                   extra(key_file=f.get("SSH_KEY"), host_key=_host_key(f), no_host_key_check="false")),
        Connection("minio_admin", "minio", endpoint, root, password, None, extra(region=region, ca=ca)),
        Connection("lake_s3", "aws", "", root, password, None,
                   extra(endpoint_url=endpoint, region_name=region, verify=ca, config_kwargs={"s3": {"addressing_style": "path"}})),
        Connection("kubernetes_default", "kubernetes", extra=extra(kube_config_path=f.get("KUBECONFIG"))),
        Connection("kafka_default", "kafka", extra=extra(**{name: f.get(key) for name, key in KAFKA.items()})),
    ]  # fmt: skip


def _port(text: str | None) -> int | None:
    if text and not (text.isdecimal() and 0 < int(text) < 65536):
        raise LakeError("read", "the site's facts", f"SSH_PORT is {text!r}, which is no port number")
    return int(text) if text else None


def _host_key(facts: Mapping[str, str]) -> str:
    path, host, port = Path(facts.get("SSH_KNOWN_HOSTS") or ""), facts.get("SSH_HOST", ""), facts.get("SSH_PORT") or "22"
    if not facts.get("SSH_KNOWN_HOSTS"):
        return ""
    from paramiko.hostkeys import HostKeys, InvalidHostKey  # it reads hashed names too

    try:
        keys: Mapping[str, Any] = HostKeys(str(path)).lookup(host if port == "22" else f"[{host}]:{port}") or {}
    except (InvalidHostKey, OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise LakeError("read", f"the host keys in {path}", cause, "Make the file with ssh-keyscan HOST, or correct SSH_KNOWN_HOSTS") from None
    return next((f"{kind} {key.get_base64()}" for kind, key in keys.items()), "")


def airflow_environment(facts: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which Airflow, or a command, finds the project and its connections. What is set already wins."""
    home = environment.get("AIRFLOW_HOME") or str(ROOT / ".airflow")
    defaults = {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",  # Airflow's 30 s cost half a core; a file that changes is read at once all the same
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",  # Airflow's 30 s pass on a busy machine, and a DAG that could not be read is gone until it is read again
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
        "AIRFLOW__CORE__PARALLELISM": "8",  # Airflow's 32 workers, which are all begun with, take half a gigabyte while they wait
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",  # the test button of Admin → Connections
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",  # with the server on loopback only
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONPATH": str(ROOT),
    }
    conns = {f"AIRFLOW_CONN_{i.upper()}": c.as_json() for i, c in connections(facts).items()}
    return {**conns, **defaults, **environment, "PYTHONPATH": str(ROOT)}


def command_line_connections() -> Connections:
    """The connections of a command: the environment's, then the site's or the lab's."""
    return from_environment(airflow_environment(site_facts()))


def pools_and_variables() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The pools and variables of the settings, in the form that `airflow pools|variables import` reads."""
    with _readable_settings():
        declared = _settings()
        pools = [{"name": p["pool_name"], "slots": p["pool_slot"], "description": p.get("pool_description", "")} for p in declared.get("pools") or []]
        return pools, {v["variable_name"]: str(v["variable_value"]) for v in declared.get("variables") or []}

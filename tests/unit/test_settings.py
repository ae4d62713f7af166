"""`airflow_settings.yaml` in Astro's form, a site's facts, and the environment that comes of both."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from include import run_airflow, settings
from include.connections import from_environment
from include.lake.errors import LakeError
from include.lake.lake import load_lake
from include.lake.secret import Secret

DECLARED = yaml.safe_load(settings.SETTINGS.read_text(encoding="utf-8"))["airflow"]
FACTS = """
# A comment, then facts as `./lake lab env` prints them.
PVE_URL=https://192.0.2.2:8006
PVE_CA=/ca.pem
PVE_TOKEN_ID=homelake@pve!admin
PVE_TOKEN_SECRET=admin-secret
PVE_BOOTSTRAP_TOKEN_ID=homelake@pve!bootstrap
PVE_BOOTSTRAP_TOKEN_SECRET=boot-secret=with-equals
SSH_HOST=192.0.2.10
SSH_PORT=2222
SSH_USER=debian
SSH_KEY=/key
S3_ENDPOINT=http://192.0.2.10:9000
S3_REGION=eu-north-1
S3_ROOT_USER=lakeroot
S3_ROOT_PASSWORD="root password"
S3_CA=
KUBECONFIG=/kubeconfig
"""


# Astro's form. Source: astro-cli's settings/types.go, which drops what it does not know and lower-cases the keys of conn_extra.


def test_every_key_is_one_that_astro_reads() -> None:
    assert set(DECLARED) <= {"connections", "pools", "variables"}
    known = {"conn_id", "conn_type", "conn_host", "conn_schema", "conn_login", "conn_password", "conn_port", "conn_uri", "conn_extra"}
    for connection in DECLARED["connections"]:
        assert set(connection) <= known, connection["conn_id"]
        assert connection["conn_id"]
        assert connection["conn_type"]
        assert isinstance(connection.get("conn_port", 0), int)
        json.dumps(connection.get("conn_extra", {}))
    for pool in DECLARED["pools"]:
        assert set(pool) == {"pool_name", "pool_slot", "pool_description"}
        assert pool["pool_slot"] > 0, "Astro skips a pool without slots"
    assert all(set(v) == {"variable_name", "variable_value"} for v in DECLARED["variables"])


def test_keys_of_extra_survive_astros_lower_case() -> None:
    def keys(value: Any) -> list[str]:
        return [k for key, inner in value.items() for k in (key, *keys(inner))] if isinstance(value, dict) else []

    assert [k for c in DECLARED["connections"] for k in keys(c.get("conn_extra")) if k != k.lower()] == []


def test_no_secret_is_in_it() -> None:
    for connection in DECLARED["connections"]:
        assert not connection.get("conn_password")
        assert not connection.get("conn_uri")
        assert not {"private_key", "kube_config", "token", "aws_secret_access_key"} & set(connection.get("conn_extra", {}))
    assert all(not c.password for c in settings.connections({}).values())


def test_it_holds_the_declared_region_and_port() -> None:
    minio = load_lake().spec.minio
    known = settings.connections({})
    assert known["minio_admin"].option("region") == known["lake_s3"].option("region_name") == minio.region
    assert known["minio_admin"].host == known["lake_s3"].option("endpoint_url")
    assert known["minio_admin"].host.endswith(f":{minio.port}")


def test_without_astro_there_are_the_same_connections_pools_and_variables() -> None:
    ids = {c["conn_id"]: c["conn_type"] for c in DECLARED["connections"]}
    for facts in ({}, settings.parse_facts(FACTS)):
        assert {i: c.type for i, c in settings.connections(facts).items()} == ids
    pools, variables = settings.pools_and_variables()
    assert [(p["name"], p["slots"]) for p in pools] == [(p["pool_name"], p["pool_slot"]) for p in DECLARED["pools"]]
    assert set(variables) == {v["variable_name"] for v in DECLARED["variables"]}


def test_the_pool_of_the_dags_is_declared() -> None:
    dag = (settings.ROOT / "dags/lake_bootstrap.py").read_text(encoding="utf-8")
    (pool,) = DECLARED["pools"]
    assert f'"pool": "{pool["pool_name"]}"' in dag


# A site's facts


def test_facts_complete_the_connections() -> None:
    known = settings.connections(settings.parse_facts(FACTS))
    proxmox, host, minio, s3 = (known[i] for i in ("proxmox", "lake_host", "minio_admin", "lake_s3"))
    assert (proxmox.host, proxmox.login, proxmox.option("ca")) == ("https://192.0.2.2:8006", "homelake@pve!bootstrap", "/ca.pem")
    assert proxmox.password == Secret("boot-secret=with-equals")
    assert (host.host, host.port, host.login, host.option("key_file")) == ("192.0.2.10", 2222, "debian", "/key")
    assert minio.password == s3.password == Secret("root password")
    assert (minio.option("region"), s3.option("region_name"), s3.option("endpoint_url")) == ("eu-north-1", "eu-north-1", "http://192.0.2.10:9000")
    assert "ca" not in minio.extra
    assert known["kubernetes_default"].option("kube_config_path") == "/kubeconfig"


def test_facts_of_kafka_come_under_librdkafkas_names() -> None:
    facts = {"KAFKA_BOOTSTRAP": "192.0.2.30:9093", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "lake",
             "KAFKA_SASL_PASSWORD": "kafka-secret", "KAFKA_CA": "/kafka.pem"}  # fmt: skip
    kafka = settings.connections(facts)["kafka_default"]
    assert kafka.extra == {"bootstrap.servers": "192.0.2.30:9093", "security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "lake",
                           "sasl.password": "kafka-secret", "ssl.ca.location": "/kafka.pem"}  # fmt: skip
    assert "kafka-secret" not in repr(kafka)
    assert settings.connections({"S3_REGION": "x"})["kafka_default"].extra == settings.connections({})["kafka_default"].extra


def test_the_admin_token_serves_when_there_is_no_bootstrap_token() -> None:
    facts = {k: v for k, v in settings.parse_facts(FACTS).items() if "BOOTSTRAP" not in k}
    proxmox = settings.connections(facts)["proxmox"]
    assert (proxmox.login, proxmox.password) == ("homelake@pve!admin", Secret("admin-secret"))


def _key(letter: str) -> str:
    return "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + letter.encode() * 32).decode()


@pytest.mark.parametrize(("port", "name"), [("22", "192.0.2.10"), ("2222", "[192.0.2.10]:2222")])
def test_the_vms_host_key_is_pinned_from_known_hosts(port: str, name: str, tmp_path: Path) -> None:
    hosts = tmp_path / "known_hosts"
    facts = settings.parse_facts(FACTS) | {"SSH_KNOWN_HOSTS": str(hosts), "SSH_PORT": port}
    hosts.write_text(f"other {_key('o')}\n{name},vm {_key('v')} comment\n")
    assert settings.connections(facts)["lake_host"].option("host_key") == _key("v")


def test_a_sites_file_must_be_there_and_closed_to_others(tmp_path: Path) -> None:
    site = tmp_path / "site.env"
    with pytest.raises(LakeError, match=r"there is no such file\. Correct HOMELAKE_SITE"):
        settings.site_facts({"HOMELAKE_SITE": str(site)})
    site.write_text(FACTS)
    for mode in (0o644, 0o640, 0o604):
        site.chmod(mode)
        with pytest.raises(LakeError, match=f"others can read it.*chmod 600 {site}") as caught:
            settings.site_facts({"HOMELAKE_SITE": str(site)})
        assert "secret=" not in str(caught.value)
    site.chmod(0o600)
    assert settings.site_facts({"HOMELAKE_SITE": str(site)}) == settings.parse_facts(FACTS)


def test_neither_a_site_nor_a_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "ROOT", tmp_path)  # no site.env there, and no lab either
    bare = {"HOMELAKE_LAB": "none", "PATH": "/usr/bin:/bin"}
    with pytest.raises(
        settings.NoFacts, match=r"Unable to find the lake's connections: there is no site\.env, and the lab does not answer .*\. Write site\.env"
    ):
        settings.site_facts(bare)
    given = {f"AIRFLOW_CONN_{c.upper()}": "{}" for c in settings.NEEDED}
    assert settings.site_facts(bare | given) == {}, "the environment gives them itself"


def test_a_lab_that_was_not_started_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(settings.NoFacts) as caught:
        settings.site_facts({"HOMELAKE_LAB": "nosuch", "PATH": "/usr/bin:/bin"})
    assert str(caught.value) == (
        "Unable to read the lab 'nosuch': it was never started. Run: ./lake lab up --name nosuch, or write site.env (docs/how-to/real-site.md)."
    )
    with pytest.raises(settings.NoFacts, match="Unable to use the lab name 'NO': "):
        settings.site_facts({"HOMELAKE_LAB": "NO", "PATH": "/usr/bin:/bin"})
    monkeypatch.setenv("HOMELAKE_LAB", "nosuch")
    for name in ("HOMELAKE_SITE", *(f"AIRFLOW_CONN_{c.upper()}" for c in settings.NEEDED)):
        monkeypatch.delenv(name, raising=False)
    assert run_airflow._facts() == {}, "connections may be made in Airflow itself"


# The environment


def test_the_environment_of_airflow() -> None:
    environment = settings.airflow_environment(settings.parse_facts(FACTS), {"AIRFLOW__CORE__LOAD_EXAMPLES": "True", "PYTHONPATH": "/elsewhere"})
    assert environment["AIRFLOW__CORE__TEST_CONNECTION"] == "Enabled"
    assert environment["AIRFLOW__CORE__LOAD_EXAMPLES"] == "True", "what is set already wins"
    assert environment["PYTHONPATH"] == str(settings.ROOT), "where Airflow finds homelake.dist-info and include"
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1", "everyone is an administrator: only this machine may ask"
    connection = from_environment(environment)("minio_admin")
    assert (connection.login, connection.password) == ("lakeroot", Secret("root password"))


def test_a_connection_of_the_environment_wins() -> None:
    environment = settings.airflow_environment(settings.parse_facts(FACTS), {"AIRFLOW_CONN_PROXMOX": '{"conn_type": "proxmox", "host": "https://mine:8006"}'})
    assert from_environment(environment)("proxmox").host == "https://mine:8006"


# What Astro builds


def test_the_image_carries_no_secret() -> None:
    ignored = (settings.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".env", "site.env", ".lab", ".git", ".venv"} <= set(ignored)
    assert not {"include", "dags", "jobs", "homelake.dist-info", "requirements.txt", "packages.txt"} & set(ignored)


def test_astros_image_has_the_airflow_of_the_requirements() -> None:
    first = next(line for line in (settings.ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if line.startswith("FROM "))
    pinned = next(line for line in (settings.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line.startswith("apache-airflow=="))
    series = pinned.split("==")[1].split(" ")[0].rsplit(".", 1)[0]
    assert f"/runtime:{series}-" in first

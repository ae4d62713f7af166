"""Connections out of Airflow: read, masked, told when they are not there; and the links made from them."""

import json
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.sdk.log import redact

from include.adapters.keypair import KeyPairs
from include.connections import NotConfigured, parse_connection
from include.lake.errors import LakeError
from include.operators.base import airflow_connection
from include.operators.links import MinioConsoleLink, ProxmoxVmLink
from tests.dags.conftest import MARK, READING


def test_a_connection_of_airflows_is_read_and_its_secrets_are_masked_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"password": "the-p4ssword-of-minio", "private_key": "the-private-k3y", "kube_config": "the-kube-c0nfig", "token": "the-t0ken-of-it",
               "sasl.password": "the-p4ssword-of-kafka"}  # fmt: skip
    extra = {k: v for k, v in secrets.items() if k != "password"} | {"region": "ap-northeast-2"}
    text = json.dumps({"conn_type": "minio", "host": "http://h:9000", "login": "root", "password": secrets["password"], "port": 9000, "extra": extra})
    assert not [v for v in secrets.values() if redact(f"log: {v}") != f"log: {v}"], "not masked before"
    monkeypatch.setenv("AIRFLOW_CONN_MINIO_ADMIN", text)
    connection = airflow_connection("minio_admin")
    assert (connection.type, connection.host, connection.login, connection.port) == ("minio", "http://h:9000", "root", 9000)
    assert connection.password.reveal() == secrets["password"]
    assert connection.option("region") == "ap-northeast-2"
    for value in secrets.values():
        assert redact(f"log: {value}") == "log: ***"
        assert value not in repr(connection)


def test_a_connection_that_nobody_configured_is_told() -> None:
    with pytest.raises(NotConfigured, match=r"Unable to find the connection 'nosuch': it is not configured\. Add it in Admin → Connections"):
        airflow_connection("nosuch")


def test_a_connection_that_cannot_be_read_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(conn_id: str) -> Any:
        raise PermissionError("the backend denies it\nwith details")

    monkeypatch.setattr("include.operators.base.BaseHook.get_connection", broken)
    with pytest.raises(LakeError, match=r"Unable to read the connection 'proxmox': the backend denies it\. Look at it in Admin → Connections\.") as caught:
        airflow_connection("proxmox")
    assert not isinstance(caught.value, NotConfigured)


@pytest.mark.parametrize("text", ['{"conn_type": "generic", "login": "AKOWN", "password": "the-s3cret-of-mine"', "generic://AKOWN:the-s3cret-of-mine@h:port"])
def test_a_variable_that_airflow_cannot_read_is_not_as_if_there_were_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Else the pair that the owner gives would be passed over without a word, and a random one made."""
    monkeypatch.setenv("AIRFLOW_CONN_LAKE_USER_SPARK_USER", text)
    with pytest.raises(LakeError, match=r"Unable to read the connection 'lake_user_spark_user': .*\. Look at AIRFLOW_CONN_LAKE_USER_SPARK_USER\.") as caught:
        airflow_connection("lake_user_spark_user")
    assert not isinstance(caught.value, NotConfigured)
    assert "the-s3cret-of-mine" not in str(caught.value)
    keys = KeyPairs(airflow_connection, Mock(), Mock())
    with pytest.raises(LakeError, match="Look at AIRFLOW_CONN_LAKE_USER_SPARK_USER"):
        keys.given("spark-user")
    monkeypatch.setenv("AIRFLOW_CONN_LAKE_USER_SPARK_USER", "")
    assert keys.given("spark-user") is None, "an empty one is none to Airflow"


@pytest.mark.parametrize(
    ("conn_id", "text", "same"),
    [
        ("ssh_uri", "ssh://debian:p%40ss@datalake.example.org:2222/?key_file=%2Fk", True),
        ("json", '{"conn_type": "aws", "login": "AK", "password": "SK", "extra": {"endpoint_url": "http://h", "config_kwargs": {"s3": {"addressing_style": "path"}}}}', True),
        ("token", "proxmox://homelake%40pve%21bootstrap:secret@pve:8006", True),
    ],
)  # fmt: skip
def test_airflow_and_the_command_line_read_the_same(monkeypatch: pytest.MonkeyPatch, conn_id: str, text: str, same: bool) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
    ours, airflows = parse_connection(conn_id, text), airflow_connection(conn_id)
    assert ours == airflows
    assert dict(ours.extra) == dict(airflows.extra)


def test_links_lead_to_the_vm_and_the_console_and_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PROXMOX", json.dumps({"conn_type": "proxmox", "host": "https://pve:8006/", "login": "a@pve!b", "password": MARK}))
    monkeypatch.setenv("AIRFLOW_CONN_MINIO_ADMIN", json.dumps({"conn_type": "minio", "host": "http://10.0.0.10:9000", "login": "root", "password": MARK}))
    dag = READING.bag.dags["lake_bootstrap"]
    assert ProxmoxVmLink().get_link(dag.get_task("vm_disk"), ti_key=None) == "https://pve:8006/#v1:0:=qemu%2F100"
    assert MinioConsoleLink().get_link(dag.get_task("governance"), ti_key=None) == "http://10.0.0.10:9001/"
    for name in ("PROXMOX", "MINIO_ADMIN"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}")
    assert ProxmoxVmLink().get_link(dag.get_task("vm_disk"), ti_key=None) == ""
    assert MinioConsoleLink().get_link(dag.get_task("governance"), ti_key=None) == ""

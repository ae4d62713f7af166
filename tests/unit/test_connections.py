"""Connections: Airflow's two forms, where they come from, and which wins."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.connections import Connection, NotConfigured, from_environment, parse_connection, secret_of
from include.lake.errors import LakeError
from include.lake.secret import Secret, SecretRef


@pytest.mark.parametrize(
    ("text", "connection"),
    [
        ('{"conn_type": "minio", "host": "http://h:9000", "login": "root", "password": "p w", "port": 9000, "extra": {"region": "x"}}',
         Connection("c", "minio", "http://h:9000", "root", Secret("p w"), 9000, {"region": "x"})),
        ('{"conn_type": "minio", "port": "9000", "extra": "{\\"region\\": \\"x\\"}"}', Connection("c", "minio", port=9000, extra={"region": "x"})),
        ('  {"conn_type": "ssh"}', Connection("c", "ssh")),
        ('{"conn_type": "ssh", "host": null, "password": null, "extra": null}', Connection("c", "ssh")),
        ("ssh://debian:p%40ss@datalake.example.org:2222/?key_file=%2Fk&x=", Connection("c", "ssh", "datalake.example.org", "debian", Secret("p@ss"), 2222, {"key_file": "/k", "x": ""})),
        ("google-cloud-platform://", Connection("c", "google_cloud_platform")),
        ("minio://root:pw@http%3A%2F%2Fdatalake%3A9000/", Connection("c", "minio", "http://datalake:9000", "root", Secret("pw"))),
        ("aws://AK:SK@/?__extra__=%7B%22a%22%3A+%7B%22b%22%3A+1%7D%7D", Connection("c", "aws", "", "AK", Secret("SK"), None, {"a": {"b": 1}})),
        ("proxmox://homelake%40pve%21bootstrap:secret@pve:8006", Connection("c", "proxmox", "pve", "homelake@pve!bootstrap", Secret("secret"), 8006)),
    ],
)  # fmt: skip
def test_both_of_airflows_forms_are_read(text: str, connection: Connection) -> None:
    found = parse_connection("c", text)
    assert found == connection
    assert found.extra == connection.extra


@pytest.mark.parametrize(
    "text",
    [
        "just text", "", "{", '{"host": "h"}', '{"conn_type": "a", "port": "many"}', '{"conn_type": "a", "extra": "{"}', '{"conn_type": "a", "extra": [1]}',
        '{"conn_type": "a", "extra": "[1]"}', '{"conn_type": "a", "extra": 7}', "a://h:port/", "a://[::1/", "a://h/?__extra__=%7B", "a://h/?__extra__=1",
    ],
)  # fmt: skip
def test_a_form_that_is_neither_is_told_by_its_name_and_without_its_text(text: str) -> None:
    with pytest.raises(LakeError) as caught:
        parse_connection("lake_host", text)
    assert str(caught.value) == "Unable to read the connection 'lake_host': it is neither Airflow's JSON form nor a URI. Look at AIRFLOW_CONN_LAKE_HOST."


texts = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=20)


@given(texts, texts, texts, st.none() | st.integers(1, 65535), st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=3))
def test_what_is_written_as_json_is_what_is_read(host: str, login: str, password: str, port: int | None, extra: dict[str, Any]) -> None:
    connection = Connection("c", "minio", host, login, Secret(password), port, extra)
    found = parse_connection("c", connection.as_json())
    assert found == connection
    assert found.extra == extra


def test_an_option_is_text() -> None:
    c = Connection("c", "x", extra={"a": 1, "b": None, "c": False})
    assert (c.option("a"), c.option("b", "d"), c.option("c"), c.option("none"), c.option("none", "d")) == ("1", "d", "False", "", "d")


def test_a_connection_nobody_configured_is_told() -> None:
    for environment in ({}, {"AIRFLOW_CONN_PROXMOX": ""}):
        with pytest.raises(NotConfigured, match=r"Unable to find the connection 'proxmox': it is not configured\. Start the lab"):
            from_environment(environment)("proxmox")


@pytest.mark.parametrize(("field", "value"), [("password", "pw"), ("login:password", "root:pw"), ("token", "t0ken"), ("none", "")])
def test_a_reference_leads_to_its_secret(field: str, value: str) -> None:
    found = from_environment({"AIRFLOW_CONN_MINIO_ADMIN": '{"conn_type": "minio", "login": "root", "password": "pw", "extra": {"token": "t0ken"}}'})
    assert secret_of(found, SecretRef("minio_admin", field)) == Secret(value)

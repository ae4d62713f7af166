"""Where a lake is: the facts of a site, the settings they complete, and which of the two wins."""

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko.hostkeys import HostKeys

from include import settings
from include.connections import Connection, from_environment
from include.lake.errors import LakeError
from include.lake.secret import Secret
from include.settings import airflow_environment, connections, parse_facts, pools_and_variables, site_facts


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("# A=1\n  # B=2\n\nC = 3 \n", {"C": "3"}),
        ("A='x y'\nB=\"z\"\n", {"A": "x y", "B": "z"}),
        ("A=it's\nB=\"\nC=x'\n", {"A": "it's", "B": '"', "C": "x'"}),  # half a pair belongs to the value
        ("A=b=c=d\n", {"A": "b=c=d"}),
        ("export A=1\n", {"A": "1"}),
        ("no equals sign\nA=\n", {"A": ""}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("", {}),
    ],
)
def test_facts_are_key_value_lines(text: str, facts: dict[str, str]) -> None:
    assert parse_facts(text) == facts


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)))
def test_quoted_facts_are_read_as_they_are_whatever_is_in_them(facts: dict[str, str]) -> None:
    assert parse_facts("\n".join(f"{k}='{v}'" for k, v in facts.items())) == facts


def site(tmp_path: Path, text: str | bytes = "PVE_URL=1\n", mode: int = 0o600) -> dict[str, str]:
    file = tmp_path / "site.env"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)
    return {"HOMELAKE_SITE": str(file)}


def test_a_site_is_the_file_that_is_named(tmp_path: Path) -> None:
    assert site_facts(site(tmp_path)) == {"PVE_URL": "1"}
    assert site_facts(site(tmp_path, b"\xef\xbb\xbfPVE_URL=1\n")) == {"PVE_URL": "1"}, "as some editors write it"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_site_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(LakeError, match=r"others can read it, and it holds secrets\. chmod 600 "):
        site_facts(site(tmp_path, mode=mode))


def test_a_site_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    for name in (tmp_path / "none.env", tmp_path):
        with pytest.raises(LakeError, match=r"there is no such file\. Correct HOMELAKE_SITE"):
            site_facts({"HOMELAKE_SITE": str(name)})
    with pytest.raises(LakeError, match="it is not UTF-8 text"):
        site_facts(site(tmp_path, b"A=\xff\n"))


def test_every_line_that_is_no_fact_is_told_at_once_and_never_shown(tmp_path: Path) -> None:
    text = "# c\nPVE_ULR=https://x\nS3_ROOT_PASSWORD\nHIDDEN_WORD\n\nSSH_HOST=x\nHIDDEN+/=\n  = HIDDEN\nZZZZZ=HIDDEN\nexport s3_ca=\n"
    with pytest.raises(LakeError) as caught:
        site_facts(site(tmp_path, text))
    first, *lines = str(caught.value).splitlines()
    assert first == f"Unable to read the site's facts {tmp_path / 'site.env'}: 7 problems"
    form = "it is not in the form KEY=value. Correct it, or begin it with #."
    assert lines[0] == "  line 2: unknown key PVE_ULR. Did you mean 'PVE_URL'?"
    assert lines[1:5] == [f"  line {n}: {form}" for n in (3, 4, 7, 8)]
    assert lines[5].startswith("  line 9: unknown key ZZZZZ. Known are PVE_URL, ")
    assert lines[6] == "  line 10: unknown key s3_ca. Did you mean 'S3_CA'?"
    assert "HIDDEN" not in str(caught.value)


def test_a_site_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    environment = site(tmp_path)
    for call in ("read_text", "is_file"):  # the file is closed; its folder is
        monkeypatch.setattr(Path, call, refuse)
        with pytest.raises(LakeError, match=r"Unable to read the site's facts .*: Permission denied\. Run as its owner"):
            site_facts(environment)


FACTS = {
    "PVE_URL": "https://pve:8006", "PVE_TOKEN_ID": "root@pam!x", "PVE_TOKEN_SECRET": "token-secret", "PVE_CA": "/ca.pem",
    "SSH_HOST": "10.0.0.10", "SSH_PORT": "2222", "SSH_USER": "debian", "SSH_KEY": "/key",
    "S3_ENDPOINT": "http://10.0.0.10:9000", "S3_REGION": "ap-northeast-2", "S3_ROOT_USER": "root", "S3_ROOT_PASSWORD": "root-password", "S3_CA": "",
    "KUBECONFIG": "/kubeconfig", "KAFKA_BOOTSTRAP": "10.0.0.30:9092",
}  # fmt: skip


def test_a_sites_facts_make_every_connection() -> None:
    found = connections(FACTS)
    assert found["proxmox"] == Connection("proxmox", "proxmox", "https://pve:8006", "root@pam!x", Secret("token-secret"), None, {"ca": "/ca.pem"})
    assert (found["lake_host"].host, found["lake_host"].login, found["lake_host"].port) == ("10.0.0.10", "debian", 2222)
    assert (found["lake_host"].option("key_file"), found["lake_host"].option("no_host_key_check")) == ("/key", "false")
    assert found["minio_admin"] == Connection(
        "minio_admin", "minio", "http://10.0.0.10:9000", "root", Secret("root-password"), None, {"region": "ap-northeast-2"}
    )
    assert found["lake_s3"].extra["endpoint_url"] == "http://10.0.0.10:9000"
    assert found["kubernetes_default"].option("kube_config_path") == "/kubeconfig"
    assert found["kafka_default"].extra == {"bootstrap.servers": "10.0.0.30:9092"}


def test_a_token_for_the_bootstrap_alone_wins() -> None:
    found = connections(FACTS | {"PVE_BOOTSTRAP_TOKEN_ID": "homelake@pve!b", "PVE_BOOTSTRAP_TOKEN_SECRET": "narrow"})["proxmox"]
    assert (found.login, found.password) == ("homelake@pve!b", Secret("narrow"))


def test_what_no_fact_says_stays_as_the_settings_have_it() -> None:
    declared, found = connections({}), connections({"S3_ROOT_PASSWORD": "pw", "PVE_TOKEN_SECRET": "ts"})
    assert (found["minio_admin"].host, found["minio_admin"].password) == (declared["minio_admin"].host, Secret("pw"))
    assert (found["proxmox"].host, found["proxmox"].login, found["proxmox"].password) == (declared["proxmox"].host, declared["proxmox"].login, Secret("ts"))
    assert found["lake_host"].port == declared["lake_host"].port == 22
    assert found["lake_s3"].option("endpoint_url") == declared["lake_s3"].option("endpoint_url")


@pytest.mark.parametrize("port", ["ssh", "0", "70000", "-1", "22 "])
def test_a_port_that_is_none_is_told(port: str) -> None:
    with pytest.raises(LakeError, match=f"SSH_PORT is '{port}', which is no port number"):
        connections(FACTS | {"SSH_PORT": port})


def public_key() -> str:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0 " + os.urandom(32)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def pinned(tmp_path: Path, known_hosts: str, **facts: str) -> str:
    file = tmp_path / "known_hosts"
    file.write_text(known_hosts)
    return connections(FACTS | {"SSH_KNOWN_HOSTS": str(file)} | facts)["lake_host"].option("host_key")


def test_the_host_key_of_the_vm_is_pinned_from_known_hosts(tmp_path: Path) -> None:
    other, mine = public_key(), public_key()
    assert pinned(tmp_path, f"# c\nother {other}\n[10.0.0.10]:2222 {mine} comment\n") == mine
    assert pinned(tmp_path, f"10.0.0.100 {other}\n10.0.0.10,datalake {mine}\n", SSH_PORT="22") == mine
    assert pinned(tmp_path, f"{HostKeys.hash_host('10.0.0.10')} {mine}\n", SSH_PORT="") == mine, "as Debian writes them"
    assert pinned(tmp_path, f"10.0.0.10 {other}\n") == "", "another port is another server"
    assert pinned(tmp_path, "", SSH_KNOWN_HOSTS="") == ""


def test_a_file_of_host_keys_that_is_named_must_be_there(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(LakeError, match=f"Unable to read the host keys in {path}: {why}"):
            pinned(tmp_path, "", SSH_KNOWN_HOSTS=str(path))


@pytest.mark.parametrize("text", ["[10.0.0.10]:2222 ssh-ed25519 AAAA_no_base64\n", b"\xff\xfe".decode("latin-1")])
def test_host_keys_that_cannot_be_read_are_told_or_none(tmp_path: Path, text: str) -> None:
    try:
        assert pinned(tmp_path, text) == ""
    except LakeError as error:
        assert "Unable to read the host keys in" in str(error)


# Which wins


def test_the_environment_wins_over_the_site_and_the_site_over_the_settings(tmp_path: Path) -> None:
    facts = site_facts(site(tmp_path, "S3_ENDPOINT=http://site:9000\nPVE_URL=https://site:8006\n"))
    environment = {
        "AIRFLOW_CONN_MINIO_ADMIN": '{"conn_type": "minio", "host": "http://environment:9000"}',
        "AIRFLOW_HOME": "/x",
        "AIRFLOW__API__HOST": "0.0.0.0",
    }
    whole = airflow_environment(facts, environment)
    find = from_environment(whole)
    assert find("minio_admin").host == "http://environment:9000"
    assert find("proxmox").host == "https://site:8006"
    assert find("lake_host").host == connections({})["lake_host"].host
    assert (whole["AIRFLOW_HOME"], whole["AIRFLOW__API__HOST"], whole["AIRFLOW__CORE__LOAD_EXAMPLES"]) == ("/x", "0.0.0.0", "False")
    assert airflow_environment(facts, {})["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_a_site_wins_over_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").write_text("")
    (tmp_path / "lab" / "__main__.py").write_text(
        "import os, sys; print('WHERE=lab', os.environ.get('HOMELAKE_LAB', 'demo')); sys.exit(int(os.environ.get('FAIL', 0)))"
    )
    environment = dict(os.environ) | {"HOMELAKE_LAB": "other"}
    environment.pop("HOMELAKE_SITE", None)
    assert site_facts(environment) == {"WHERE": "lab other"}
    with pytest.raises(LakeError):
        site_facts(environment | {"FAIL": "1"})
    (tmp_path / "site.env").write_text("S3_REGION=site.env\n")
    (tmp_path / "site.env").chmod(0o600)
    assert site_facts(environment) == {"S3_REGION": "site.env"}
    named = tmp_path / "named.env"
    named.write_text("S3_REGION=named\n")
    named.chmod(0o600)
    assert site_facts(environment | {"HOMELAKE_SITE": str(named)}) == {"S3_REGION": "named"}


# airflow_settings.yaml


def test_the_settings_hold_every_connection_the_pool_and_no_secret() -> None:
    found = connections({})
    assert set(found) == {"proxmox", "lake_host", "minio_admin", "lake_s3", "kubernetes_default", "kafka_default"}
    assert not [c.id for c in found.values() if c.password]
    assert not [c.id for c in found.values() if {"password", "secret", "token", "private_key"} & set(c.extra)]
    pools, _ = pools_and_variables()
    assert [(p["name"], p["slots"]) for p in pools] == [("lake_writers", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "airflow: [",
        "airflow: 5",
        "- a",
        "airflow: {connections: [{conn_type: x}]}",
        "airflow: {connections: [5]}",
        "airflow: {connections: [{conn_id: a, conn_type: b, conn_extra: '{'}]}",
    ],
)
def test_settings_that_cannot_be_read_are_told(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "airflow_settings.yaml"
    file.write_text(text)
    monkeypatch.setattr(settings, "SETTINGS", file)
    with pytest.raises(LakeError, match="it is not in the form of Astro's settings"):
        connections({})


def test_empty_settings_hold_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "airflow_settings.yaml"
    monkeypatch.setattr(settings, "SETTINGS", file)
    for text in ("", "airflow:\n", "airflow: {connections: , pools: , variables: }\n"):
        file.write_text(text)
        assert connections({}) == {}
        assert pools_and_variables() == ([], {})


def test_a_process_environment_holds_valid_json_for_each_connection() -> None:
    for name, text in airflow_environment(FACTS, {}).items():
        if name.startswith("AIRFLOW_CONN_"):
            assert json.loads(text)["conn_type"]

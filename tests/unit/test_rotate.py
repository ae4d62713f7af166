"""`./lake rotate` on a whole site in memory: what it prints, what it writes, and its exit codes."""

import json
from datetime import timedelta
from typing import Any

import pytest

from include.commands import rotate as commands
from include.lake.lake import load_lake
from include.lake.resource import ensure
from include.lake.rotation import PREVIOUS, PodUse
from include.lake.secret import Secret
from tests.fakes.root import FakeRoot
from tests.fakes.site import FakeSite
from tests.unit.test_cli import run

LAKE = load_lake()
PAIR = LAKE.key_pair
SECRET = (PAIR.namespace, PAIR.name)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    """A converged lake. Waiting takes no time here: the cluster's clock goes on instead."""
    site = FakeSite()
    for resource in LAKE.resources():
        ensure(resource, site(resource.part))
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        site.keypair.now += timedelta(seconds=seconds)

    monkeypatch.setattr(commands, "Clients", lambda *args: site)
    monkeypatch.setattr(commands, "command_line_connections", lambda: None)
    monkeypatch.setattr(commands, "as_root", lambda parts: lambda credentials: FakeRoot(site.host, site.keypair, credentials))
    monkeypatch.setattr(commands.time, "sleep", sleep)
    monkeypatch.setattr(commands.time, "monotonic", lambda: 1000 + now[0])
    return site


def test_keys_from_one_pair_to_the_next(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    old = PAIR.pair(site.keypair)
    code, out, err = run(capsys, "rotate", "keys")
    new = PAIR.pair(site.keypair)
    assert code == 0
    assert out.splitlines()[-1] == "Rotated."
    assert "every node has the new key in 60 s" in err
    assert list(site.keypair.access_keys) == [new.access_key] != [old.access_key]
    assert site.locks == ["./lake rotate keys", "./lake rotate keys"]
    assert site.closed == 1
    for pair in (old, new):
        assert pair.access_key not in out + err
        assert pair.secret_key.reveal() not in out + err
    for resource in LAKE.resources():
        assert not ensure(resource, site(resource.part)).applied, resource.id


def test_pods_that_use_the_old_key_are_named_and_the_next_run_finishes(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    old = PAIR.pair(site.keypair)
    site.keypair.pods[SECRET] = [PodUse("totals-driver", site.keypair.now, "totals")]
    code, out, err = run(capsys, "rotate", "keys", "--wait", "90")
    assert code == 2
    assert "used by pod totals-driver (since 2026-01-01 00:00:00 UTC, job totals)" in out
    assert out.splitlines()[-1].startswith("Not finished: both keys are valid")
    assert err.count("waiting ") == 3, "a line of progress every 30 s"
    assert site.keypair.accepts(old)
    made = site.keypair.made
    code, out, _ = run(capsys, "rotate", "keys", "--wait", "0", "--json")
    (pod,) = json.loads(out)["waiting"]
    assert (code, pod["pod"], pod["application"]) == (2, "totals-driver", "totals")
    site.keypair.pods.clear()
    code, out, _ = run(capsys, "rotate", "keys", "--wait", "0", "--user", "spark-user")
    assert (code, out.splitlines()[-1]) == (0, "Rotated.")
    assert not site.keypair.accepts(old)
    assert site.keypair.made == made, "it finished what was begun, and began nothing"
    assert PREVIOUS not in site.keypair.secrets[SECRET]


def test_root(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "rotate", "root")
    assert code == 1
    assert "Change the connection 'minio_admin' first" in err
    site.host.credentials = Secret("root:another-password")
    code, out, err = run(capsys, "rotate", "root")
    assert (code, out) == (0, "Rotated: root's credentials are those of the connection 'minio_admin'.\n")
    assert site.host.running["minio"] == Secret("root:another-password")
    assert site.locks[-1] == "./lake rotate root"
    assert "another-password" not in out + err
    site.host.credentials = Secret("root:a-third-password")
    assert json.loads(run(capsys, "rotate", "root", "--json")[1]) == {"rotated": "root"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("root", "--user", "spark-user"), "--user and --wait are of `rotate keys`"),
        (("root", "--wait", "0"), "--user and --wait are of `rotate keys`"),
        (("keys", "--user", "nobody"), "the declaration has no such key pair. It has those of spark-user"),
        (("keys", "--wait", "soon"), "'soon' is no number of seconds"),
        (("keys", "--wait", "-1"), "--wait"),
        (("everything",), "Known are keys, root"),
    ],
)
def test_what_cannot_be_done_is_told(site: FakeSite, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = list(site.writes)
    result: Any = None
    try:
        result, _, err = run(capsys, "rotate", *words)
    except SystemExit as end:
        result, err = end.code, capsys.readouterr().err
    assert result == 1
    assert said in err
    assert site.writes == before

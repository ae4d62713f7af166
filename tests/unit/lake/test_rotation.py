"""Rotation of a key pair: killed at every call and run again, with pods that use the old pair, a pair of the owner's, and what is refused."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from include.lake.errors import LakeError, Refused
from include.lake.lake import build_lake, load_lake
from include.lake.resource import ensure, plan
from include.lake.resources.keypair import Pair, half, pair_in
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.user import UserState
from include.lake.rotation import MARGIN, NEXT, PREVIOUS, PodUse, Report, refers, rotation_of
from include.lake.secret import Secret
from include.lake.spec import LAKE_FILE, LakeSpec
from include.settings import ROOT
from tests.fakes.base import Killed
from tests.fakes.kubernetes import FakeKeyPairs

LAKE = load_lake()
ROTATION = rotation_of(LAKE)
PAIR = LAKE.key_pair
SECRET = (PAIR.namespace, PAIR.name)
OWN = Pair("AKOWN", Secret("the-owners-own-secret"))
SECOND = timedelta(seconds=1)


class Site(FakeKeyPairs):
    """A converged lake with a third key in the secret. `holders` are the pods that run, each with the pair it started with."""

    def __init__(self) -> None:
        super().__init__()
        self.namespaces[PAIR.namespace] = NamespaceState()
        self.users[PAIR.user] = UserState(True, frozenset())
        self.secrets[SECRET] = {"third": Secret("stays")}
        self.said: list[str] = []
        self.holders: dict[str, Pair] = {}
        ensure(PAIR, self)
        self.first = PAIR.pair(self)
        self.writes.clear()

    def start(self, name: str) -> None:
        """A pod starts now, with what the secret holds now."""
        self.pods.setdefault(SECRET, []).append(PodUse(name, self.now))
        self.holders[name] = PAIR.pair(self)

    def end(self, name: str) -> None:
        self.pods[SECRET] = [p for p in self.pods[SECRET] if p.name != name]
        del self.holders[name]

    def harmless(self) -> None:
        """Whatever happened: who starts now is let in, and who runs still is."""
        assert self.accepts(PAIR.pair(self)), "the secret holds a pair that MinIO does not accept"
        assert all(self.accepts(p) for p in self.holders.values()), "the pair of a running pod was taken away"
        assert self.secrets[SECRET]["third"] == Secret("stays")

    def rotate(self) -> Report:
        ROTATION.begin(self, self.said.append)
        return ROTATION.finish(self)

    def rotated(self) -> None:
        """Nothing is left over."""
        self.harmless()
        assert set(self.secrets[SECRET]) == {*PAIR.keys, "third"}
        assert list(self.access_keys) == [PAIR.pair(self).access_key], "an access key was left in MinIO"
        assert PAIR.pair(self).access_key != self.first.access_key
        assert not plan(PAIR, self)[0], "the lake is not as declared"


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_rotation_without_pods(site: Site) -> None:
    report = site.rotate()
    assert (report.old, report.revoked, report.settles) == (half(site.first.access_key), "", 60)
    assert site.accepts(site.first)
    site.now += MARGIN - SECOND
    assert ROTATION.finish(site).settles == 1
    site.harmless()
    site.now += SECOND
    report = ROTATION.finish(site)
    assert (report.old, report.revoked, report.new) == ("", half(site.first.access_key), half(PAIR.pair(site).access_key))
    site.rotated()
    before = list(site.writes)
    assert ROTATION.finish(site) == replace(report, revoked="")
    assert site.writes == before, "a second finish writes nothing"


def test_a_pod_keeps_its_pair_until_it_ends(site: Site) -> None:
    site.start("old")
    site.now += timedelta(hours=1)
    assert [p.name for p in site.rotate().waiting] == ["old"]
    site.now += MARGIN - SECOND
    site.start("late")  # whose node may not know yet
    site.now += SECOND
    site.start("new")
    for _ in range(3):
        site.now += timedelta(hours=1)
        report = site.rotate()
        assert ([p.name for p in report.waiting], report.settles, report.clear) == (["old", "late"], 0, False)
        site.harmless()
    assert site.made == 2, "no further pair while the first rotation is not finished"
    assert "not finished" in site.said[-1]
    site.end("old")
    site.end("late")
    assert site.rotate().revoked
    site.rotated()
    assert PAIR.pair(site) == site.holders["new"]


@pytest.mark.parametrize("own", [None, OWN], ids=["random", "the owner's"])
@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_killed_at_every_call_the_next_run_goes_on(when: str, own: Pair | None) -> None:
    start = Site()
    start.owners_pair = own
    start.start("pod")
    start.now += timedelta(hours=1)

    def whole(site: Site) -> None:
        """Both phases, as often as it takes."""
        assert site.rotate().waiting
        site.harmless()
        site.now += timedelta(hours=1)
        site.end("pod")
        assert ROTATION.finish(site).revoked

    through = copy.deepcopy(start)
    whole(through)
    through.rotated()
    assert through.writes == ["patch_secret", "put_access_key", "patch_secret", "remove_access_key", "patch_secret"]
    for number in range(len(through.writes)):
        site = copy.deepcopy(start)
        site.kill_at = (number, when)
        with pytest.raises(Killed):
            whole(site)
        site.kill_at = None
        site.harmless()
        if "pod" in site.holders:
            whole(site)
        else:  # killed while the old one was revoked
            site.now += timedelta(hours=1)
            ROTATION.finish(site)
        site.rotated()
        assert own in (None, PAIR.pair(site))
        assert not ROTATION.look(site).orphans


def test_killed_again_and_again_it_still_gets_there(site: Site) -> None:
    """Each run dies after its first call."""
    for _ in range(6):
        site.now += timedelta(hours=1)
        site.writes.clear()
        site.kill_at = (0, "after")
        with pytest.raises(Killed):
            if PREVIOUS in site.secrets[SECRET]:
                ROTATION.finish(site)
            else:
                ROTATION.begin(site, site.said.append)
        site.harmless()
        if len(site.access_keys) == 1 and set(site.secrets[SECRET]) == {*PAIR.keys, "third"}:
            break
    site.rotated()


def test_a_bootstrap_in_between_changes_nothing(site: Site) -> None:
    for number in range(5):
        site.kill_at = (number, "after")
        try:
            site.rotate()
            site.now += MARGIN
            ROTATION.finish(site)
        except Killed:
            pass
        site.kill_at = None
        before = dict(site.secrets[SECRET])
        assert not ensure(PAIR, site).applied
        assert site.secrets[SECRET] == before
    site.now += MARGIN
    ROTATION.finish(site)
    site.rotated()


def test_the_owners_pair_in_use_is_refused_with_what_to_do(site: Site) -> None:
    for given in (site.first, replace(site.first, secret_key=Secret("quite-another-secret"))):
        site.owners_pair = given
        with pytest.raises(Refused, match=r"the connection lake_user_spark_user holds the access key in use.*Change that connection first"):
            site.rotate()
        assert not site.writes
    site.owners_pair = Pair("x", Secret("short"))
    with pytest.raises(Refused, match="3 to 20 characters"):
        site.rotate()
    site.owners_pair = LakeError("read", "the connection", "it is broken")
    with pytest.raises(LakeError, match="broken"):
        site.rotate()
    assert not site.writes


def test_a_users_own_password_is_refused_with_what_to_do_and_can_be_rotated_to(site: Site) -> None:
    own = Pair(PAIR.user, Secret("the-users-own-password"))
    site.passwords[PAIR.user], site.owners_pair = own.secret_key, own
    site.kill_at = (0, "after")
    with pytest.raises(Killed):
        site.rotate()
    site.kill_at, site.owners_pair = None, OWN  # begun with, and thought better of
    assert site.secrets[SECRET][NEXT[0]].reveal() == PAIR.user
    site.rotate()
    site.now += MARGIN
    assert ROTATION.finish(site).revoked
    site.owners_pair = own
    site.rotate()
    site.now += MARGIN
    assert ROTATION.finish(site).revoked
    assert PAIR.pair(site) == own
    site.owners_pair = None
    site.writes.clear()
    with pytest.raises(Refused, match=r"the user's own name and password, which cannot be changed in two phases\. Delete the secret, and \./lake apply makes"):
        site.rotate()
    assert not site.writes


def test_a_pair_that_was_begun_with_and_given_up_is_taken_back(site: Site) -> None:
    site.kill_at = (1, "after")
    with pytest.raises(Killed):
        site.rotate()
    site.kill_at, site.owners_pair = None, OWN
    assert len(site.access_keys) == 2
    site.rotate()
    assert set(site.access_keys) == {site.first.access_key, OWN.access_key}
    site.now += MARGIN
    ROTATION.finish(site)
    site.rotated()


def test_a_pair_that_cannot_do_what_a_job_needs_is_not_switched_to(site: Site) -> None:
    site.may.discard("get datalake")
    with pytest.raises(LakeError, match=r"with the new pair it may not read it from datalake\. Nothing was switched"):
        site.rotate()
    assert PAIR.pair(site) == site.first
    site.may |= {"get datalake", "put homelake-elsewhere"}  # too many rights are another matter
    site.rotate()
    assert site.made == 2, "the pair that was begun with is used"
    assert all(not t.things for t in site.tried), "a probe was left"
    site.now += MARGIN
    ROTATION.finish(site)
    site.rotated()


def test_who_may_only_read_is_tried_with_reading(site: Site) -> None:
    site.may = {"list datalake"}
    reader = replace(ROTATION, scope="datalake/raw/", writes=False)
    reader.begin(site, site.said.append)
    assert site.tried[-1].tried == ["list datalake"]
    site.may.clear()
    site.now += MARGIN
    reader.finish(site)
    with pytest.raises(LakeError, match="may not list datalake"):
        reader.begin(site, site.said.append)


def test_where_the_bucket_keeps_what_is_written_no_probe_is_left(site: Site) -> None:
    spec = yaml.safe_load(LAKE_FILE.read_text())
    spec["buckets"].append({"name": "kept", "object_lock": True, "retention": {"period": "2 d"}})
    spec["users"].append({"name": "feed", "role": "append-only", "buckets": ["kept/in/"], "secret": "feed-keys"})
    lake = build_lake(LakeSpec.model_validate(spec))
    assert [lake.keeps(b.name) for b in lake.spec.buckets] == [False] * len(LAKE.spec.buckets) + [True]
    feed, secret = rotation_of(lake, "feed"), (PAIR.namespace, "feed-keys")
    site.users["feed"], site.keeping = UserState(True, frozenset()), frozenset({"kept"})
    site.may = {f"{call} kept" for call in ("put", "get", "list", "multipart", "delete")}
    ensure(feed.key_pair, site)
    old = feed.key_pair.pair(site)
    feed.begin(site, site.said.append)
    assert not site.tried[-1].things, "a probe was left, locked"
    assert feed.key_pair.pair(site) != old
    site.now += MARGIN
    assert feed.finish(site).revoked
    assert NEXT[0] not in site.secrets[secret]
    site.may.discard("multipart kept")
    with pytest.raises(LakeError, match="it may not upload in parts to kept"):
        feed.begin(site, site.said.append)


def test_access_keys_of_somebody_else_are_never_removed(site: Site) -> None:
    site.access_keys["AKROOTS"] = ("root", Pair("AKROOTS", Secret("a-secret-of-root")))
    site.secrets[SECRET] |= {PAIR.keys[0]: Secret("AKROOTS"), PAIR.keys[1]: Secret("a-secret-of-root")}
    with pytest.raises(Refused, match=r"the access key AKR… belongs to root, and would be revoked"):
        site.rotate()
    site.secrets[SECRET] |= {PAIR.keys[0]: Secret(site.first.access_key), PAIR.keys[1]: site.first.secret_key, PREVIOUS: Secret("AKROOTS")}
    with pytest.raises(Refused, match="belongs to root"):
        ROTATION.finish(site)
    site.secrets[SECRET][PREVIOUS] = Secret(site.first.access_key)  # a note that names the key in use
    ROTATION.finish(site)
    assert set(site.access_keys) == {"AKROOTS", site.first.access_key}
    assert PREVIOUS not in site.secrets[SECRET]


def test_the_old_pair_is_kept_when_the_new_one_is_broken(site: Site) -> None:
    site.rotate()
    site.now += MARGIN
    site.disabled.add(PAIR.pair(site).access_key)
    with pytest.raises(LakeError, match="MinIO does not accept the new pair"):
        ROTATION.finish(site)
    assert site.accepts(site.first)


def test_notes_of_a_rotation_that_make_no_sense(site: Site) -> None:
    site.secrets[SECRET] |= {NEXT[0]: Secret("x")}  # half of a pair
    site.rotate()
    assert not set(NEXT) & set(site.secrets[SECRET])
    site.now += MARGIN
    ROTATION.finish(site)
    site.rotated()
    site.secrets[SECRET] |= {NEXT[0]: site.secrets[SECRET][PAIR.keys[0]], NEXT[1]: Secret("the key in use, once more")}
    before = PAIR.pair(site)
    site.rotate()
    assert PAIR.pair(site).access_key != before.access_key
    assert site.accepts(before), "the key in use was changed under the jobs that use it"


def test_what_was_not_recorded_counts_against_revoking(site: Site) -> None:
    site.rotate()
    site.stamps.clear()
    site.now += timedelta(days=1)
    site.start("any")
    assert [p.name for p in ROTATION.finish(site).waiting] == ["any"]
    site.end("any")
    assert ROTATION.finish(site).revoked


def test_orphans_are_told_and_left(site: Site) -> None:
    for name in ("AKORPHAN1", "AKORPHAN2"):
        site.access_keys[name] = (PAIR.user, Pair(name, Secret("nobody-knows-it")))
    assert ROTATION.look(site).orphans == ("AKOR…", "AKOR…")
    assert not site.writes
    site.rotate()
    site.now += MARGIN
    report = ROTATION.finish(site)
    assert "left alone: AKOR…, AKOR…, made by Homelake earlier" in "\n".join(report.lines())
    assert {"AKORPHAN1", "AKORPHAN2"} < set(site.access_keys)


def test_a_stream_is_due_once_a_restart_gives_it_the_new_pair(site: Site) -> None:
    site.pods[SECRET] = [PodUse(n, site.now, n, stream=n != "job") for n in ("payments-stream", "clicks", "job")]
    ROTATION.begin(site, site.said.append)
    report = ROTATION.look(site)
    assert report.due == (), "a node may still hand out the old one"
    assert [line.strip() for line in report.lines("payments-stream")][-2:] == [
        "payments-stream ends at a batch boundary and begins anew, with the new one, as soon as every node has it",
        "streams do not end by themselves; restart the SparkApplication: clicks",
    ]
    site.now += MARGIN
    assert ROTATION.look(site).due == ("clicks", "payments-stream")
    site.pods[SECRET] = [PodUse("payments-stream", site.now, "payments-stream", stream=True)]
    assert ROTATION.finish(site).revoked, "in its new pod it has the new pair"


def test_a_stream_of_which_a_restart_would_not_be_seen_is_never_due(site: Site) -> None:
    site.pods[SECRET] = [PodUse("payments-stream", site.now, "payments-stream", stream=True)]
    ROTATION.begin(site, site.said.append)
    site.stamps.clear()
    site.now += MARGIN
    report = ROTATION.look(site)
    assert (len(report.waiting), report.due) == (1, ())


def test_the_report_names_streams_and_holds_no_secret(site: Site) -> None:
    site.start("driver")
    site.pods[SECRET] = [PodUse("driver", site.now, "payments", stream=True), PodUse("job-driver", site.now, "totals")]
    report = site.rotate()
    text = "\n".join(report.lines())
    assert "pod driver (since 2026-01-01 00:00:00 UTC, stream payments)" in text
    assert "pod job-driver (since 2026-01-01 00:00:00 UTC, job totals)" in text
    assert "restart the SparkApplication: payments" in text
    shown = text + json.dumps(report.as_dict()) + repr(report) + "\n".join(site.said)
    for pair in (site.first, PAIR.pair(site)):
        assert pair.access_key not in shown
        assert pair.secret_key.reveal() not in shown
    assert json.loads(json.dumps(report.as_dict()))["waiting"][0] == {
        "pod": "driver", "created": "2026-01-01T00:00:00+00:00", "application": "payments", "stream": True}  # fmt: skip


def test_without_a_secret_or_with_names_that_clash(site: Site) -> None:
    with pytest.raises(LakeError, match=r"the declaration has no such key pair\. It has those of spark-user"):
        rotation_of(LAKE, "nobody")
    clash = replace(ROTATION, key_pair=replace(PAIR, keys=("access-key", PREVIOUS)))
    with pytest.raises(Refused, match="keeps its own notes under previous-access-key"):
        clash.begin(site, site.said.append)
    del site.secrets[SECRET]
    with pytest.raises(LakeError, match=r"it has no key pair.*Run lake_bootstrap"):
        site.rotate()


REFERENCES: dict[str, dict[str, Any]] = {
    "a variable": {"containers": [{"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}]}]},
    "all keys": {"containers": [{}, {"envFrom": [{"secretRef": {"name": "keys"}}]}]},
    "before it starts": {"containers": [], "initContainers": [{"envFrom": [{"secretRef": {"name": "keys"}}]}]},
    "a debugger": {"containers": [], "ephemeralContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "keys"}}}]}]},
    "a volume": {"volumes": [{"emptyDir": {}}, {"secret": {"secretName": "keys"}}]},
    "a projection": {"volumes": [{"projected": {"sources": [{"configMap": {"name": "keys"}}, {"secret": {"name": "keys"}}]}}]},
}
OTHERS: dict[str, dict[str, Any]] = {
    "another secret": {"containers": [{"envFrom": [{"secretRef": {"name": "keys2"}}, {"configMapRef": {"name": "keys"}}]}]},
    "plain values": {"containers": [{"env": [{"name": "keys", "value": "keys"}]}], "volumes": None},
    "nothing": {},
}


@pytest.mark.parametrize("what", [*REFERENCES, *OTHERS])
def test_what_refers_to_a_secret(what: str) -> None:
    spec = REFERENCES.get(what) or OTHERS.get(what)
    for phase in ("Pending", "Running", "Unknown"):
        assert refers({"spec": spec, "status": {"phase": phase}}, "keys") is (what in REFERENCES)
    for phase in ("Succeeded", "Failed"):
        assert not refers({"spec": spec, "status": {"phase": phase}}, "keys")


def test_a_pair_in_a_secret() -> None:
    values = {"a": Secret("AKEXAMPLE"), "b": Secret("a-good-secret")}
    assert pair_in(values, ("a", "b")) == Pair("AKEXAMPLE", Secret("a-good-secret"))
    assert pair_in(values, ("a", "c")) is None
    assert pair_in({**values, "b": Secret("short")}, ("a", "b")) is None


def test_what_the_page_shows_is_what_is_said(site: Site) -> None:
    page = (ROOT / "docs/how-to/rotate-keys.md").read_text()
    site.owners_pair = site.first
    with pytest.raises(Refused) as told:
        site.rotate()
    assert f"```text\n{told.value}\n```" in page
    pod = PodUse("totals-driver", datetime(2026, 11, 20, 2, 10, 3, tzinfo=UTC), "totals")
    lines = [*Report("spark-user", "QK7Z1M04VW…", "8A2DF6XB1C…", waiting=(pod,)).lines(), "Not finished: both keys are valid"]
    assert "```text\n" + "\n".join(lines) in page

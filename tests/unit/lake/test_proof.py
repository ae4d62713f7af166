"""The proof of a user's rights: both directions, and nothing left behind however it ends."""

import pytest

from include.lake.errors import LakeError, Unreachable
from include.lake.proof import Check, Denied, prove
from tests.fakes.tenant import FakeTenant

ALLOWED = {"put datalake", "get datalake", "list datalake", "multipart datalake", "delete datalake"}
EVERY = {"put elsewhere", "list elsewhere", "set_versioning datalake", "make_bucket elsewhere-new", "put_policy", "list_users", "add_access_key"}


def proof(tenant: FakeTenant) -> list[Check]:
    return list(prove(tenant, "datalake", "elsewhere", ".homelake/probe-1"))


def test_the_declared_rights_are_proven_both_ways() -> None:
    tenant = FakeTenant(ALLOWED)
    checks = proof(tenant)
    assert all(c.good for c in checks)
    assert {c.what for c in checks if not c.allowed} >= {"write to the bucket elsewhere", "make a bucket", "make a policy", "list users", "make an access key"}
    assert set(tenant.tried) == ALLOWED | EVERY | {"clear"}, "every call is really made"
    assert not tenant.things


@pytest.mark.parametrize("right", sorted(ALLOWED))
def test_a_missing_right_is_told(right: str) -> None:
    tenant = FakeTenant(ALLOWED - {right})
    wrong = [c for c in proof(tenant) if not c.good]
    assert wrong
    assert all(c.allowed and not c.succeeded for c in wrong)
    assert not tenant.things


@pytest.mark.parametrize("right", sorted(EVERY))
def test_a_right_too_many_is_told_and_what_it_made_is_undone(right: str) -> None:
    tenant = FakeTenant(ALLOWED | {right})
    (wrong,) = (c for c in proof(tenant) if not c.good)
    assert (wrong.allowed, wrong.succeeded) == (False, True)
    assert str(wrong).startswith("✗ ")
    assert str(wrong).endswith(": allowed")
    assert not tenant.things


def test_with_every_right_nothing_stays() -> None:
    tenant = FakeTenant(ALLOWED | EVERY)
    assert len([c for c in proof(tenant) if not c.good]) == len(EVERY)
    assert not tenant.things


@pytest.mark.parametrize("call", sorted(ALLOWED | EVERY))
@pytest.mark.parametrize("error", [Unreachable("MinIO", "connection reset"), RuntimeError("a bug")], ids=["unreachable", "bug"])
def test_nothing_stays_when_a_call_breaks(call: str, error: Exception) -> None:
    tenant = FakeTenant(ALLOWED | EVERY, (call, error))
    with pytest.raises(type(error)):
        proof(tenant)
    assert not tenant.things


@pytest.mark.parametrize("call", sorted(EVERY))
def test_an_answer_other_than_a_refusal_counts_as_let_through(call: str) -> None:
    tenant = FakeTenant(ALLOWED, (call, LakeError("use", "MinIO", "it answered NoSuchBucket")))
    (wrong,) = (c for c in proof(tenant) if not c.good)
    assert wrong.succeeded


def test_an_odd_answer_to_what_must_succeed_is_an_error() -> None:
    with pytest.raises(LakeError, match="InternalError"):
        proof(FakeTenant(ALLOWED, ("list datalake", LakeError("use", "MinIO", "it answered InternalError"))))


def test_an_object_that_reads_back_differently_is_an_error() -> None:
    class Forgetful(FakeTenant):
        def get(self, bucket: str, key: str) -> bytes:
            return super().get(bucket, key)[:-1]

    tenant = Forgetful(ALLOWED)
    with pytest.raises(LakeError, match="reads back differently"):
        proof(tenant)
    assert not tenant.things


KEPT = frozenset({"datalake"})


def test_a_bucket_that_keeps_what_is_written_gets_no_object() -> None:
    tenant = FakeTenant(ALLOWED, keeping=KEPT)
    checks = list(prove(tenant, "datalake", "elsewhere", ".homelake/probe-1", keeps=True))
    assert all(c.good for c in checks)
    assert set(tenant.tried) == EVERY | {"list datalake", "multipart datalake", "clear"}
    assert not tenant.things, "nothing is there that could not be removed before the retention is over"
    for right in ("list datalake", "multipart datalake"):
        (wrong,) = (c for c in prove(FakeTenant(ALLOWED - {right}), "datalake", "elsewhere", "k", keeps=True) if not c.good)
        assert (wrong.allowed, wrong.succeeded) == (True, False), "that it may write is seen all the same"


def test_whoever_stops_listening_leaves_nothing_either() -> None:
    tenant = FakeTenant(ALLOWED)
    checks = prove(tenant, "datalake", "elsewhere", "k")
    next(iter(checks))
    assert tenant.things
    checks.close()  # type: ignore[attr-defined]
    assert not tenant.things


def test_clearing_that_fails_is_told() -> None:
    class Sticky(FakeTenant):
        def clear(self) -> None:
            raise Denied("DeleteObjectVersion")

    (wrong,) = (c for c in proof(Sticky(ALLOWED)) if not c.good)
    assert str(wrong) == "✗ remove every trace of these calls: refused"

"""The proof of the user's rights as a task, without a lab."""

import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.lake.proof import Denied
from include.lake.secret import Secret
from include.operators.verify import VerifyOperator
from tests.dags.runs import LAKE, context
from tests.fakes.site import FakeSite


class FakeTenantS3:
    """A user who may do everything, or only what is declared."""

    may_everything = False
    cleared = 0

    def __init__(self, server: Any, pair: Any) -> None:
        self.pair, self.body = pair, b""

    def put(self, bucket: str, key: str, data: bytes) -> str:
        self._only("datalake", bucket)
        assert key.startswith(".homelake/probe-")
        self.body = data
        return "v"

    def _only(self, *wanted_and_given: str) -> None:
        if not self.may_everything and len(set(wanted_and_given)) > 1:
            raise Denied

    def get(self, bucket: str, key: str) -> bytes:
        return self.body

    def list(self, bucket: str, prefix: str) -> list[str]:
        self._only("datalake", bucket)
        return []

    def multipart(self, bucket: str, key: str) -> None:
        pass

    delete = multipart

    def _never(self, *args: Any) -> None:
        self._only("allowed", "asked")

    make_bucket = put_policy = list_users = add_access_key = set_versioning = _never

    def clear(self) -> None:
        type(self).cleared += 1


def verify(monkeypatch: pytest.MonkeyPatch, site: FakeSite, *, everything: bool, check: bool = False, keeps: bool = False) -> Any:
    site.keypair.secrets["spark-jobs", "minio-s3-keys"] = {"access-key": Secret("AKEXAMPLE"), "secret-key": Secret("a-secret-key")}
    monkeypatch.setattr("include.operators.verify.TenantS3", type("T", (FakeTenantS3,), {"may_everything": everything}))
    return VerifyOperator(task_id="verify", key_pair=LAKE.key_pair, bucket="datalake", keeps=keeps).execute(context(check=check))


def test_declared_rights_are_proven(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = verify(monkeypatch, site, everything=False)
    assert len(lines) == 13
    assert all(line.startswith("✓ ") for line in lines)
    assert "a-secret-key" not in json.dumps(lines)


def test_rights_too_many_fail_the_task_and_name_them(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        AirflowFailException,
        match=r"Unable to verify the rights of spark-user: .*make a bucket was allowed; .*make an access key was allowed\. Run \./lake plan",
    ):
        verify(monkeypatch, site, everything=True)


def test_check_mode_writes_no_probe(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify(monkeypatch, site, everything=True, check=True) == []


def test_where_the_bucket_keeps_what_is_written_no_object_is(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(*args: Any) -> str:
        assert args[1] != "datalake", "it could not be removed before the retention is over"
        raise Denied

    monkeypatch.setattr(FakeTenantS3, "put", put)
    lines = verify(monkeypatch, site, everything=False, keeps=True)
    assert len(lines) == 10
    assert "✓ upload in parts to datalake: allowed" in lines
    assert all(line.startswith("✓ ") for line in lines)


def test_without_a_key_pair_it_says_what_to_run(site: FakeSite) -> None:
    with pytest.raises(AirflowFailException, match=r"it has no key pair under access-key and secret-key\. Run lake_bootstrap"):
        VerifyOperator(task_id="verify", key_pair=LAKE.key_pair, bucket="datalake").execute(context())

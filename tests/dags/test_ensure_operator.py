"""The ensuring operators without a lab: which declaration they work with, what they refuse, which failures are tried again."""

import json
from dataclasses import replace
from typing import Any

import pytest
from airflow.exceptions import AirflowException
from airflow.sdk.exceptions import AirflowFailException

from include.lake.errors import LakeError, NotConverged, Refused, Unreachable
from include.lake.resources.bucket import BucketState
from include.lake.survey import survey
from include.operators.base import LakeOperator, lake_errors
from include.operators.ensure import DeclarationOperator, EnsureOperator
from tests.dags.runs import DIGEST, LAKE, bootstrap, context
from tests.fakes.site import FakeSite


def ensuring(*resources: Any, **more: Any) -> EnsureOperator:
    return EnsureOperator(task_id="x", ensures=resources, digest=DIGEST, **more)


# The declaration of a run


def test_a_run_that_began_with_another_declaration_is_refused_before_anything_is_looked_at(site: FakeSite) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("nothing is looked at")

    site.minio.bucket = never  # type: ignore[method-assign]
    with pytest.raises(AirflowFailException, match=r"Unable to go on with this run: include/lake\.yaml was changed since it began\. Trigger a new run\."):
        ensuring(*LAKE.buckets).execute(context("another-digest"))
    assert not site.writes


def test_a_run_that_began_with_this_declaration_goes_on(site: FakeSite) -> None:
    assert ensuring(*LAKE.buckets).execute(context(DIGEST))[0]["applied"]


def test_a_task_that_is_tested_alone_goes_on(site: FakeSite) -> None:
    assert ensuring(*LAKE.buckets).execute(context(None))[0]["applied"]


def test_the_first_task_records_the_declaration(site: FakeSite) -> None:
    now = context(None)
    assert DeclarationOperator(task_id="declaration", digest=DIGEST).execute(now) == DIGEST
    assert now["ti"].xcom_pull(task_ids="declaration", key="digest") == DIGEST
    cleared = context("another-digest")
    assert DeclarationOperator(task_id="declaration", digest=DIGEST).execute(cleared) == DIGEST, "cleared, it records anew"


# Failures


class FailingOperator(LakeOperator):
    error: Exception

    def work(self, context: Any, parts: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (LakeError("use", "it", "no"), False),
        (Refused("shrink", "it", "it never shrinks"), False),
        (NotConverged("it", "quota"), False),
        (Unreachable("it", "no answer"), True),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Exception) else "",
)
def test_only_what_was_out_of_reach_is_tried_again(site: FakeSite, error: LakeError, again: bool) -> None:
    task = FailingOperator(task_id="x")
    task.error = error
    with pytest.raises(AirflowException) as caught:
        task.execute(context())
    assert isinstance(caught.value, AirflowFailException) is not again
    assert str(caught.value) == str(error)
    assert caught.value.__suppress_context__, "no second traceback above the message"


def test_a_bug_is_not_dressed_up_as_an_error_of_the_lake() -> None:
    with pytest.raises(ZeroDivisionError), lake_errors():
        raise ZeroDivisionError


# Ensuring


def test_check_mode_says_what_would_change_and_changes_nothing(site: FakeSite) -> None:
    rows = bootstrap(check=True)
    assert [r["resource"] for r in rows] == [r.id for r in LAKE.resources()]
    assert not [r for r in rows if r["applied"]]
    assert not site.writes
    assert not site.locks
    known = {f.resource_id: (str(f.status), str(f.plan.action)) for f in survey(LAKE.resources(), site)}
    assert {r["resource"]: (r["status"], r["action"]) for r in rows} == known, "as ./lake plan says it"
    assert {status for status, _ in known.values()} == {"changes", "known after apply"}


def test_check_mode_on_a_lake_as_declared_says_so(site: FakeSite) -> None:
    bootstrap()
    before = list(site.writes)
    assert {r["status"] for r in bootstrap(check=True)} == {"ok"}
    assert site.writes == before


def test_who_has_nothing_to_write_takes_no_lock(site: FakeSite) -> None:
    task = ensuring(*LAKE.buckets)
    task.execute(context())
    assert len(site.locks) == 1
    (again,) = task.execute(context())
    assert (again["action"], again["changes"], again["applied"]) == ("none", [], False)
    assert len(site.locks) == 1


def test_force_is_the_runs_and_names_a_resource(site: FakeSite) -> None:
    site.minio.buckets["datalake"] = BucketState(object_lock=False, versioning=True)
    bucket = replace(LAKE.buckets[0], desired=BucketState(object_lock=False, versioning=False))
    for force in ((), ("bucket/other",)):
        with pytest.raises(AirflowFailException, match="run again with force naming bucket/datalake"):
            ensuring(bucket).execute(context(force=force))
    assert not site.writes
    assert ensuring(bucket).execute(context(force=("bucket/datalake",)))[0]["applied"]


def test_the_whole_bootstrap_on_a_site_in_memory_and_then_again(site: FakeSite) -> None:
    first = bootstrap()
    assert [r["resource"] for r in first] == [r.id for r in LAKE.resources()]
    assert all(r["applied"] for r in first)
    text = json.dumps(first)
    for secret in ("root:password", "secret-0", site.host.credentials.reveal()):
        assert secret not in text
    before = list(site.writes)
    assert not [r for r in bootstrap() if r["applied"] or r["changes"]]
    assert site.writes == before, "a second run writes nothing"

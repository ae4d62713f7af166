"""What a SparkApplication is made of, and what its states mean."""

import json
from typing import Any

import pytest

from include.lake.s3a import s3a_profile
from include.lake.spark import Job, Phase, Where, application, named, secret_references, short_error, standing
from tests.unit.conftest import recorded

WHERE = Where("spark-jobs", "spark-sa", "homelake/spark:4.1.1", "minio-s3-keys", "access-key", "secret-key")
CONF = s3a_profile("http://10.0.0.10:9000", "ap-northeast-2")


def app(state: str | None, error: str | None = None, pod: str | None = None) -> dict[str, Any]:
    status: dict[str, Any] = {} if state is None else {"applicationState": {"state": state} | ({"errorMessage": error} if error else {})}
    return {"metadata": {"name": "job-1"}, "status": status | ({"driverInfo": {"podName": pod}} if pod else {})}


# Every state of spark-operator 2.5.0's API, and one it does not have.
@pytest.mark.parametrize(
    ("state", "phase", "over"),
    [
        ("", Phase.WAITING, False), ("SUBMITTED", Phase.WAITING, False), ("PENDING_RERUN", Phase.WAITING, False), ("INVALIDATING", Phase.WAITING, False),
        ("SUSPENDING", Phase.WAITING, False), ("SUSPENDED", Phase.WAITING, False), ("RESUMING", Phase.WAITING, False),
        ("RUNNING", Phase.RUNNING, False), ("SUCCEEDING", Phase.RUNNING, False), ("FAILING", Phase.RUNNING, False),
        ("COMPLETED", Phase.DONE, True), ("FAILED", Phase.FAILED, True), ("SUBMISSION_FAILED", Phase.FAILED, True),
        ("UNKNOWN", Phase.LOST, False), ("SOMETHING_NEW", Phase.LOST, False),
    ],
)  # fmt: skip
def test_each_state_has_a_phase_and_only_an_end_is_over(state: str, phase: Phase, over: bool) -> None:
    now = standing(app(state))
    assert (now.phase, now.state, now.over) == (phase, state, over)


def test_an_application_nobody_has_looked_at_yet_waits() -> None:
    for fresh in ({"metadata": {"name": "job-1"}}, {"metadata": {"name": "job-1"}, "status": None}, app(None)):
        now = standing(fresh)
        assert (now.phase, now.over, now.error, now.driver) == (Phase.WAITING, False, "", "job-1-driver")


def test_the_operators_error_and_the_drivers_pod_are_kept() -> None:
    now = standing(app("FAILED", "driver container failed with ExitCode: 2, Reason: Error", "job-1-xyz"))
    assert (now.error, now.driver) == ("driver container failed with ExitCode: 2, Reason: Error", "job-1-xyz")


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        ("no_service_account", 'error looking up service account spark-jobs/nosuch: serviceaccount "nosuch" not found'),
        ("forbidden", 'pods is forbidden: User "poor" cannot create resource "pods" in API group "" in the namespace "spark-jobs"'),
        ("unreachable", "Connection refused"),
    ],
)
def test_of_a_real_trace_the_line_that_matters_is_told(trace: str, said: str) -> None:
    message = "failed to run spark-submit: " + recorded(f"spark/{trace}.txt")
    short = short_error(message)
    assert said in short
    assert len(short) <= 600
    assert "\n" not in short
    assert not short.startswith(("at ", "Caused by"))


@pytest.mark.parametrize(
    ("message", "short"),
    [
        ("", "the operator gave no cause"),
        (" \n\t\n", "the operator gave no cause"),
        ("driver container failed with ExitCode: 137, Reason: OOMKilled", "driver container failed with ExitCode: 137, Reason: OOMKilled"),
        ("first\nsecond", "first"),
        ("a\nCaused by: b\n\tat x\nCaused by: c\n", "c"),
        ("x" * 900, "x" * 600),
    ],
)
def test_a_message_that_is_no_trace_is_told_as_it_is(message: str, short: str) -> None:
    assert short_error(message) == short


@pytest.mark.parametrize("role", ["driver", "executor"])
def test_both_roles_take_their_keys_from_the_secret_by_name(role: str) -> None:
    body = application(Job("infra_status.py"), WHERE, CONF)
    assert body["spec"][role]["env"] == [
        {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "minio-s3-keys", "key": "access-key"}}},
        {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"secretKeyRef": {"name": "minio-s3-keys", "key": "secret-key"}}},
    ]
    assert secret_references(body)[role] == [("AWS_ACCESS_KEY_ID", "minio-s3-keys", "access-key"), ("AWS_SECRET_ACCESS_KEY", "minio-s3-keys", "secret-key")]
    assert body["spec"][role]["volumeMounts"] == [{"name": "job", "mountPath": "/opt/homelake/job"}]


def test_what_is_mapped_follows_the_declaration() -> None:
    where = Where("n", "sa", "i", "other-secret", "id", "key", "registry-login")
    body = application(Job("a.py", ("--x", "1"), "1g", "2g", 3, 2), where, CONF)
    spec = body["spec"]
    assert {(n, k) for refs in secret_references(body).values() for _, n, k in refs} == {("other-secret", "id"), ("other-secret", "key")}
    assert (spec["driver"]["serviceAccount"], spec["driver"]["memory"], spec["executor"]["memory"]) == ("sa", "1g", "2g")
    assert (spec["executor"]["instances"], spec["executor"]["cores"], spec["arguments"]) == (3, 2, ["--x", "1"])
    assert (spec["imagePullSecrets"], spec["mainApplicationFile"], body["metadata"]["namespace"]) == (["registry-login"], "local:///opt/homelake/job/a.py", "n")
    assert "imagePullSecrets" not in application(Job("a.py"), WHERE, CONF)["spec"]


def test_references_are_read_from_any_application() -> None:
    env = [
        {"name": "A", "value": "plain"},
        {"name": "B", "valueFrom": {"fieldRef": {}}},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    assert secret_references({"spec": {"driver": {"env": env}}}) == {"driver": [("C", "s", "k")], "executor": []}


def test_a_failed_job_is_kept_for_whoever_looks_and_never_tried_again_behind_airflows_back() -> None:
    spec = application(Job("a.py"), WHERE, CONF)["spec"]
    assert spec["restartPolicy"] == {"type": "Never"}
    assert spec["timeToLiveSeconds"] == 86_400
    assert spec["sparkConf"]["spark.kubernetes.executor.deleteOnTermination"] == "false"
    assert CONF.items() <= spec["sparkConf"].items()


def test_a_jobs_own_settings_win() -> None:
    conf = application(Job("a.py"), WHERE, {"spark.log.level": "INFO"})["spec"]["sparkConf"]
    assert conf["spark.log.level"] == "INFO"


def test_naming_an_application_leaves_the_first_as_it_was() -> None:
    body = application(Job("a.py"), WHERE, CONF)
    before = json.dumps(body)
    one = named(body, "job-1")
    assert one["metadata"]["name"] == "job-1"
    assert one["metadata"]["namespace"] == "spark-jobs"
    assert one["spec"]["volumes"] == [{"name": "job", "configMap": {"name": "job-1"}}]
    assert json.dumps(body) == before


def test_an_application_holds_no_secret_and_is_json() -> None:
    text = json.dumps(application(Job("a.py"), WHERE, CONF))
    assert "secretKeyRef" in text
    assert "secret.key" not in text
    assert "access.key" not in text

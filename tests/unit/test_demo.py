"""What `make demo` shows of Airflow's log, on a recorded one."""

from pathlib import Path

from include.demo import _kept, shown
from tests.unit.conftest import recorded

LOG = recorded("airflow/dags_test.log").splitlines()


def test_tasks_what_homelake_says_and_errors_are_shown_and_nothing_else() -> None:
    text = list(shown(LOG))
    assert text == [
        "-- governance",
        "   bucket/datalake: changed\n       object_lock: yes\n       versioning: yes\n       quota: 100 GiB",
        "-- iam",
        "   policy/spark-user: changed\n       grants: " + text[3].partition("grants: ")[2],
        "   user/spark-user: changed\n       enabled: yes\n       policies: spark-user",
        "-- governance_again",
        "   bucket/datalake: as declared",
        "-- spark_job",
        "   Task failed with exception     [task] loc=task_runner.py:1639",
        "   airflow.sdk.exceptions.AirflowFailException: Unable to submit the Spark job: 2 problems found before it was started",
        "   - there is no secret spark-jobs/minio-s3-keys. Run lake_bootstrap",
        "   - the endpoint is not set. Set it.",
    ]
    assert text[3].endswith("Deny admin:UpdateServiceAccount")


def test_no_traceback_is_shown() -> None:
    assert not [t for t in shown(LOG) if "Traceback" in t or 'File "' in t]
    assert [t for t in LOG if 'File "' in t], "the log has one"


def test_the_whole_log_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    lines = [f"{line}\n" for line in LOG]
    assert list(_kept(lines, log)) == LOG
    assert log.read_text() == "".join(lines)

"""The pod of a history server, and what makes a job keep its record."""

from include.lake.history import PORT, event_log, history_pod
from include.lake.lake import load_lake
from include.lake.s3a import s3a_profile
from include.lake.spec import LAKE_FILE

FOLDER = "s3a://datalake/spark-events/"


def test_a_job_keeps_its_record_only_where_a_folder_is_declared() -> None:
    assert event_log(None) == {}
    assert event_log(FOLDER) == {"spark.eventLog.enabled": "true", "spark.eventLog.dir": FOLDER}
    assert load_lake(LAKE_FILE).spec.spark.event_logs == FOLDER


def test_the_pod_reads_the_lake_as_the_jobs_do_and_holds_no_secret_itself() -> None:
    lake = load_lake(LAKE_FILE)
    pod = history_pod(lake.where, FOLDER, s3a_profile("http://10.0.0.10:9000", "us-east-1"))
    (container,) = pod["spec"]["containers"]
    env = {e["name"]: e for e in container["env"]}
    options = env["SPARK_HISTORY_OPTS"]["value"].split()
    assert f"-Dspark.history.fs.logDirectory={FOLDER}" in options
    assert "-Dspark.hadoop.fs.s3a.endpoint=http://10.0.0.10:9000" in options
    assert f"-Dspark.history.ui.port={PORT}" in options
    keys = lake.spec.kubernetes.secret
    assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {"name": keys.name, "key": keys.secret_key}
    assert pod["spec"]["automountServiceAccountToken"] is False, "it asks nothing of Kubernetes"
    assert pod["metadata"]["namespace"] == "spark-jobs"

"""Use once what the jobs of a lake use: run while the image is made, so that the JVM's archive has the classes of it (entrypoint.sh).

It needs no network. S3, Kafka and Kubernetes are asked at an address where nobody listens: the classes that would talk to them are loaded all the same.
"""

import contextlib
import sys

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as f

NOBODY = "127.0.0.1:9"
S3A = "spark.hadoop.fs.s3a."
CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    f"{S3A}endpoint": f"http://{NOBODY}",
    f"{S3A}endpoint.region": "us-east-1",
    f"{S3A}access.key": "none",
    f"{S3A}secret.key": "none",
    f"{S3A}path.style.access": "true",
    f"{S3A}committer.name": "magic",
    f"{S3A}attempts.maximum": "0",
    f"{S3A}retry.limit": "0",
    "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory",
    "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
    "spark.sql.parquet.output.committer.class": "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter",
}
# What an executor's JVM, and the driver's talk with Kubernetes, begin with.
CLASSES = (
    "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
    "org.apache.spark.scheduler.cluster.k8s.KubernetesClusterSchedulerBackend",
    "org.apache.spark.scheduler.cluster.k8s.KubernetesClusterManager",
    "org.apache.spark.executor.CoarseGrainedExecutorBackend",
    "org.apache.kafka.clients.consumer.KafkaConsumer",
    "org.apache.kafka.clients.admin.KafkaAdminClient",
)


def main(folder: str) -> None:
    """Write, read and join tables in the folder, run a stream of one batch, and ask in vain for what is not there."""
    builder = SparkSession.builder.appName("warm-up")
    for key, value in CONF.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    rows = spark.createDataFrame([("a", 1, "2026-01-01"), ("b", 2, "2026-01-02")], "name string, number long, day string")
    rows.coalesce(1).write.mode("overwrite").parquet(f"{folder}/table")
    back = spark.read.schema(rows.schema).parquet(f"{folder}/table")
    back.exceptAll(rows).count()
    back.groupBy("day").agg(f.sum("number"), f.count("*")).join(rows, "day").orderBy("day").show(truncate=False)
    spark.sparkContext.parallelize(range(2), 2).map(lambda n: n + 1).collect()
    stream = spark.readStream.schema(rows.schema).parquet(f"{folder}/table")
    stream.writeStream.foreachBatch(lambda batch, _: batch.write.mode("append").parquet(f"{folder}/stream")).option(
        "checkpointLocation", f"{folder}/checkpoint"
    ).trigger(availableNow=True).start().awaitTermination()
    for ask in (lambda: rows.write.parquet("s3a://nobody/table"), lambda: kubernetes(spark), lambda: kafka(spark)):
        with contextlib.suppress(Py4JError, PySparkException):
            ask()
    for name in CLASSES:
        spark._jvm.java.lang.Class.forName(name)
    spark.stop()


def kubernetes(spark) -> None:
    """Ask a cluster for a pod."""
    fabric8 = spark._jvm.io.fabric8.kubernetes.client
    config = fabric8.ConfigBuilder().withMasterUrl(f"http://{NOBODY}").withRequestRetryBackoffLimit(0).build()
    fabric8.KubernetesClientBuilder().withConfig(config).build().pods().inNamespace("none").withName("none").get()


def kafka(spark) -> None:
    """Read a topic."""
    given = {"kafka.bootstrap.servers": NOBODY, "subscribe": "none", "kafka.default.api.timeout.ms": "1000", "kafka.request.timeout.ms": "500"}
    spark.read.format("kafka").options(**given).load().count()


if __name__ == "__main__":
    main(sys.argv[1])

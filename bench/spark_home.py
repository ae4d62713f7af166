"""A Spark of one process on this machine, from the jars that the lake's Spark image is made of."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.minio_server import MinioOnLoopback
from lab.cache import built, fingerprint
from lab.k8s.build import SPARK, lay_out_spark
from lab.run import sh

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # for a JVM that lives for seconds, where nothing is measured


def spark_home() -> Path:
    """A SPARK_HOME as the lake's Spark image has it; made once."""
    return built("spark-home", _key(), lambda folder: lay_out_spark(folder / "spark"), "a SPARK_HOME (about a minute)") / "spark"


def _key() -> str:
    return fingerprint(files=[p for p in SPARK.iterdir() if p.is_file()])


def _classes() -> Path:
    """The archive of classes that the image has too, for this machine's Java; made once."""
    home = spark_home()

    def make(folder: Path) -> None:
        command = ["--master", "local[2]", "--conf", f"spark.local.dir={folder}/local", home / "warm_up.py", folder / "warm-up"]
        sh(home / "bin/spark-submit", *command, env=_environment(home) | {"SPARK_SUBMIT_OPTS": f"-XX:ArchiveClassesAtExit={folder}/classes.jsa"})

    java = sh("sh", "-c", "java -version 2>&1")
    return built("spark-classes", fingerprint(_key(), java), make, "the archive of Spark's classes (about a minute)") / "classes.jsa"


def _environment(home: Path) -> dict[str, str]:
    paths = [str(home / "python"), str(next((home / "python/lib").glob("py4j-*-src.zip")))]
    return {"SPARK_HOME": str(home), "PYTHONPATH": ":".join(paths), "PYSPARK_PYTHON": sys.executable}


def spark_environment(server: MinioOnLoopback | None = None, java: str = "") -> dict[str, str]:
    """What a Spark finds in its environment: its home, the classes that need not be read again, options of its JVM, and the store's keys."""
    keys = {"AWS_ACCESS_KEY_ID": server.access, "AWS_SECRET_ACCESS_KEY": server.secret} if server else {}
    return os.environ | _environment(spark_home()) | {"SPARK_SUBMIT_OPTS": f"-XX:SharedArchiveFile={_classes()} {java}"} | keys


def spark_conf(folder: Path, conf: Mapping[str, str]) -> dict[str, str]:
    """A configuration for a Spark that is all on the loopback and keeps its files in the folder, with `conf` on top."""
    return {"spark.master": "local[2]", "spark.ui.enabled": "false", "spark.log.level": "ERROR", "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1", "spark.local.dir": str(folder), "spark.hadoop.hadoop.tmp.dir": str(folder / "tmp"),
            "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={folder}"} | dict(conf)  # fmt: skip


def spark_submit(folder: Path, conf: Mapping[str, str], job: Path, *arguments: str | Path) -> list[str]:
    """The command that runs a job there."""
    given = [x for k, v in spark_conf(folder, conf).items() for x in ("--conf", f"{k}={v}")]
    return [str(spark_home() / "bin/spark-submit"), *given, str(job), *map(str, arguments)]

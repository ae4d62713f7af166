"""A Spark of one process on this machine, from the jars that the lake's Spark image is made of."""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.minio_server import MinioOnLoopback
from lab.cache import built, fingerprint
from lab.errors import LabError
from lab.k8s.build import SPARK, lay_out_spark
from lab.run import sh

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # for a JVM that lives for seconds, where nothing is measured


def spark_home() -> Path:
    """A SPARK_HOME as the lake's Spark image has it; made once."""
    key = fingerprint(files=[p for p in SPARK.iterdir() if p.is_file()])
    return built("spark-home", key, lambda folder: lay_out_spark(folder / "spark"), "a SPARK_HOME (about a minute)") / "spark"


def _classes() -> Path:
    """The archive of classes that the image has too, for this machine's Java and the very jars that are there; made once."""
    home = spark_home()

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as work:
            command = ["--master", "local[2]", "--conf", f"spark.local.dir={work}", home / "warm_up.py", f"{work}/warm-up"]
            sh(home / "bin/spark-submit", *command, env=_environment(home) | {"SPARK_SUBMIT_OPTS": f"-XX:ArchiveClassesAtExit={folder}/classes.jsa"})
        if not (folder / "classes.jsa").exists():
            raise LabError("keep", "the classes of Spark's JVM", "Java made no archive of them", "Use a Java with class data of its own: java -Xshare:dump")

    program = f"{os.environ['JAVA_HOME']}/bin/java" if os.environ.get("JAVA_HOME") else "java"
    key = fingerprint(sh("sh", "-c", '"$0" -version 2>&1', program), home.name, (home / "jars").stat().st_mtime_ns)
    return built("spark-classes", key, make, "the archive of Spark's classes (about a minute)") / "classes.jsa"


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

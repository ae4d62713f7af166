"""The Spark job before it is Spark: without credentials it ends at once, and no JVM is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

JOB = Path(__file__).resolve().parents[2] / "jobs" / "infra_status.py"
ARGUMENTS = ["--output", "s3a://datalake/test-output/", "--states", "/nonexistent/states.json"]


def run(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as a program, where importing pyspark and starting java leave a mark."""
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").write_text(f"open({str(tmp_path / 'pyspark was imported')!r}, 'w')\n")
    (tmp_path / "pyspark" / "sql.py").write_text(
        "class SparkSession:\n    def __getattr__(self, name):\n        raise SystemExit(77)\n    builder = property()\n"
    )
    (tmp_path / "java").write_text(f"#!/bin/sh\ntouch '{tmp_path}/java was started'\n")
    (tmp_path / "java").chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    clean |= {"PATH": f"{tmp_path}:{clean['PATH']}", "PYTHONPATH": str(tmp_path), "JAVA_HOME": str(tmp_path)} | environment
    return subprocess.run([sys.executable, str(JOB), *arguments], env=clean, capture_output=True, text=True, check=False, timeout=20)


@pytest.mark.parametrize(
    "environment",
    [{}, {"AWS_ACCESS_KEY_ID": "AK"}, {"AWS_SECRET_ACCESS_KEY": "s3cret-value"}, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "s3cret-value"},
     {"ACCESS_KEY": "AK", "SECRET_KEY": "s3cret-value"}],
    ids=["none", "access key only", "secret key only", "empty", "other names"],
)  # fmt: skip
def test_missing_credentials_end_it_at_once(tmp_path: Path, environment: dict[str, str]) -> None:
    done = run(tmp_path, *ARGUMENTS, **environment)
    assert done.returncode == 2
    assert done.stdout == "DEBUG: Access Key exists: False\n"
    assert done.stderr == "Unable to reach the lake: AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is empty. Map both from the Kubernetes secret.\n"
    assert not list(tmp_path.glob("*was*")), "neither Spark nor a JVM"


def test_with_credentials_it_goes_on_to_spark_and_shows_none_of_them(tmp_path: Path) -> None:
    done = run(tmp_path, *ARGUMENTS, AWS_ACCESS_KEY_ID="AKEXAMPLE", AWS_SECRET_ACCESS_KEY="s3cret-value")
    assert done.stdout.startswith("DEBUG: Access Key exists: True\n")
    assert (tmp_path / "pyspark was imported").exists()
    assert done.returncode not in (0, 2), "this pyspark is none, so the job fails"
    assert "s3cret-value" not in done.stdout + done.stderr
    assert "AKEXAMPLE" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [[], ["--output", "x"], [*ARGUMENTS, "--mode", "delete"]])
def test_wrong_arguments_are_told(tmp_path: Path, arguments: list[str]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: infra_status.py")
    assert "Traceback" not in done.stderr


def test_it_imports_nothing_of_the_project() -> None:
    text = JOB.read_text()
    assert "include" not in text.split('"""', 2)[2].split("def main")[0]
    assert not [line for line in text.splitlines() if line.lstrip().startswith(("from include", "import include", "from lab", "import lab"))]

"""What counts of a write of which an attempt fails: jobs/payments_files.py with a real Spark, on this machine's disk."""

import json
import subprocess
from pathlib import Path

import pytest

from bench.spark_home import QUICK, spark_environment, spark_submit
from tests.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(300)]  # a Spark of its own is made for it: a minute


def test_of_a_failed_attempt_nothing_is_named_or_left(tmp_path: Path) -> None:
    command = spark_submit(tmp_path / "spark", {"spark.master": "local[2,3]"}, ROOT / "tests/e2e/jobs/write_files.py", tmp_path / "lake")
    done = subprocess.run(command, env=spark_environment(java=QUICK), cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the first attempt fails" in done.stderr, "no attempt failed, so nothing was tried"
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["read"] == [list(range(1000))] * 2, "the files that were named hold each row once"
    assert sorted(f["path"] for f in told["files"] + told["whole"]) == told["there"], "no other file is left"
    assert len(told["whole"]) == 2
    assert {f["path"].split("/")[2] for f in told["files"]} == {"date=early", "date=late"}
    assert [f["bytes"] for f in told["files"]] == [(tmp_path / "lake" / f["path"]).stat().st_size for f in told["files"]]
    assert told["empty"] == [], "no rows, no file"
    assert told["observed"] == [1000, 999]
    assert told["schema"] == "struct<n:bigint,batch:bigint>"

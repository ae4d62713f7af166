"""`make demo`: the lab, the lake, a Spark job, and where to look next. Airflow's own lines go to a file, ours to the screen."""

import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from include.settings import ROOT, site_facts

LOG = ROOT / ".lab" / "demo.log"
_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+ \[(\w+)\s*\] ")
_OURS = re.compile(r"\s+\[airflow\.task\.operators\.include\.[\w.]+\] loc=\S+\s*$")
_STEP = re.compile(r"\[DAG TEST\] starting task_id=(\S+)")


def main() -> int:
    """Run it. Returns the exit code of the first step that failed, else 0."""
    began = time.monotonic()
    (ROOT / ".lab").mkdir(mode=0o700, exist_ok=True)
    LOG.write_text("")
    if code := subprocess.run([ROOT / "lake", "lab", "up"], check=False).returncode:
        return code
    for dag in ("lake_bootstrap", "lake_spark"):
        print(f"\n== {dag} (./lake airflow dags test {dag})", flush=True)
        if code := _test(dag):
            print(f"\nUnable to run {dag}: exit code {code}. The whole log is in {LOG}.", file=sys.stderr)
            return code
    _next_steps(time.monotonic() - began)
    return 0


def _test(dag: str) -> int:
    process = subprocess.Popen([ROOT / "lake", "airflow", "dags", "test", dag], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    assert process.stdout is not None
    for text in shown(_kept(process.stdout, LOG)):
        print(text, flush=True)
    return process.wait()


def _kept(lines: Iterable[str], log: Path) -> Iterator[str]:
    with open(log, "a", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            yield line.rstrip("\n")


def shown(lines: Iterable[str]) -> Iterator[str]:
    """Of Airflow's log: the names of the tasks, what Homelake's own operators say, and errors."""
    record: list[str] = []
    failing = False  # in the message of an exception, which may have several lines
    for line in lines:
        if step := _STEP.search(line):
            yield f"-- {step[1]}"
        if _LINE.match(line):
            record, failing = [_LINE.sub("", line)], False
        else:
            record.append(line)
        if _OURS.search(line):
            yield "   " + "\n   ".join(_OURS.sub("", text) for text in record)
            record = []
        elif failing or " [error " in line or "Exception: " in line:
            failing = failing or "Exception: " in line
            yield "   " + _LINE.sub("", line)[:1000]


def _next_steps(seconds: float) -> None:
    facts = site_facts()
    console = facts.get("S3_ENDPOINT", "").rsplit(":", 1)[0] + ":9001"
    print(f"""
The rows above were read back from the lake by Spark. It took {seconds / 60:.1f} minutes.

Next:
  ./lake airflow standalone     Airflow's UI on http://127.0.0.1:8080; trigger lake_bootstrap or lake_spark there
  {console:29} MinIO's console (user {facts.get("S3_ROOT_USER")}; password: ./lake lab env | grep S3_ROOT_PASSWORD)
  ./lake plan                   change include/lake.yaml (a larger quota, say) and see what it would do
  ./lake stream declare && ./lake apply && ./lake stream start --simulate
                                the second act: invented payments, from Kafka into the lake
  ./lake lab down               stop everything; ./lake lab destroy leaves nothing""")


if __name__ == "__main__":
    sys.exit(main())

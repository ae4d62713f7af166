"""The command line: help, errors, exit codes, signals, metrics."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from simulator import cli
from simulator.metrics import Metrics
from simulator.outputs.base import Batch
from simulator.run import Told
from simulator.stream import Stream
from tests.conftest import ROOT

QUICK = ["--rate=50", "--accounts=200", "--speed-up=max", "--quiet"]


def run(*args: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "simulator", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False, env=dict(os.environ, PYTHONPATH=str(ROOT)))


def start(*args: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "simulator", *args]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(ROOT)))


def test_help_teaches_every_option_that_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z-]+", text)) - {"--help"}
    page = (ROOT / "docs/reference/payments.md").read_text()
    assert set(re.findall(r"^\| `(--[a-z-]+)", page, re.M)) == options
    assert all(f"{code} " in text for code in (0, 1, 2, 130, 143))


def test_commands_that_pages_show_are_accepted() -> None:
    text = cli.HELP + (ROOT / "docs/how-to/simulate-payments.md").read_text()
    shown = [c.partition("#")[0].partition("|")[0].split() for c in re.findall(r"python -m simulator (--.*)", text)]
    assert len(shown) >= 6
    for words in shown:
        args = cli.parser().parse_args(words)
        assert cli.stream_of(args, None)


@pytest.mark.parametrize(("args", "code", "cause"), [
    (["--ndjson", "-", "--rate", "0"], 2, "Unable to use --rate 0: an epoch holds"),
    (["--ndjson", "-", "--duration", "-1"], 2, "Unable to use --duration -1: it must be above 0"),
    (["--ndjson", "-", "--duration", "nan"], 2, "Unable to use --duration nan: it must be above 0"),
    (["--ndjson", "-", "--duration", "inf"], 2, "Unable to use --duration inf: it is more than 100,000,000,000 seconds"),
    (["--ndjson", "-", "--duration", "1e300"], 2, "Unable to use --duration 1e+300: it is more"),
    (["--ndjson", "-", "--epoch", "nan"], 2, "Unable to use --epoch nan: an epoch lasts from 0.001 to 240 seconds"),
    (["--ndjson", "-", "--epoch", "inf"], 2, "Unable to use --epoch inf: an epoch lasts"),
    (["--ndjson", "-", "--epoch", "0"], 2, "Unable to use --epoch 0: an epoch lasts"),
    (["--ndjson", "-", "--start", "soon"], 2, "Unable to use --start soon"),
    (["--ndjson", "-", "--start", "9999-12-31T23:59:58"], 2, "Unable to use --start 9999-12-31T23:59:58: it lies outside of the years 2000 to 2099"),
    (["--ndjson", "-", "--start", "1999-12-31T23:59:59"], 2, "Unable to use --start 1999-12-31T23:59:59: it lies outside of the years 2000 to 2099"),
    (["--ndjson", "-", "--start", "2100-01-01T00:30:00+00:00"], 2, "Unable to use --start 2100-01-01T00:30:00+00:00: it lies outside"),
    (["--ndjson", "-", "--start", "2099-12-31T23:00:00", "--duration", "3601"], 2, "Unable to use --duration 3601: the stream would go on beyond the year 2099"),
    (["--ndjson", "-", "--start", "0001-01-01T00:00:00+14:00"], 2, "Unable to use --start 0001-01-01"),
    (["--ndjson", "-", "--resume"], 1, "Unable to resume stdout"),
    (["--kafka", "localhost:9"], 2, "Unable to use --kafka: --kafka and --topic go together"),
    (["--parquet", "/proc/none"], 1, "Unable to write /proc/none"),
    (["--ndjson", "/proc/none/x"], 1, "Unable to write /proc/none/x: No such file or directory"),
    (["--parquet", "x", "--labels", "y"], 2, "Unable to use --labels"),
    (["--kafka", "localhost:9", "--topic", "x", "--kafka-config", "/proc/none"], 1, "Unable to read /proc/none: No such file"),
    (["--ndjson", "-", "--metrics-port", "70000"], 2, "Unable to use --metrics-port 70000"),
])  # fmt: skip
def test_errors_are_one_line(args: list[str], code: int, cause: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(args) == code
    said = capsys.readouterr().err
    assert said.startswith(cause)
    assert said.count("\n") == 1


@pytest.mark.parametrize("args", [[], ["--ndjson", "-", "--speed-up", "0"], ["--ndjson", "-", "--workers", "0"], ["--ndjson", "-", "--parquet", "x"]])
def test_wrong_usage_ends_with_2(args: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(args)
    assert end.value.code == 2


def test_lines_come_on_stdout() -> None:
    done = run("--ndjson=-", "--duration=3", "--malformed=0", *QUICK)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 100
    assert all(sum(p["amount"] for p in r["postings"] if p["currency"] == c) == 0 for r in rows for c in {p["currency"] for p in r["postings"]})


def test_a_reader_that_has_enough_is_no_error() -> None:
    process = start("--ndjson=-", *QUICK)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_full_stdout_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "simulator", "--ndjson=-", "--duration=3", *QUICK]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=120, check=False, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert (done.returncode, done.stderr) == (1, b"Unable to write stdout: No space left on device. Make room, and begin again.\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_between_epochs_and_resume_goes_on(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """Also while it waits for an epoch's time, and with workers; the rest is the same as without a stop."""
    file, options = str(tmp_path / "out"), ["--duration=40", "--rate=50", "--accounts=200"]
    process = start("--ndjson", file, *options, "--speed-up=4", "--workers=2")
    until = time.monotonic() + 60
    while time.monotonic() < until and not (Path(file + ".epoch.json").exists() and json.loads(Path(file + ".epoch.json").read_text())["next"] > 2):
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"stopped, --resume goes on" in said
    assert b"Traceback" not in said
    assert 2 < json.loads(Path(file + ".epoch.json").read_text())["next"] < 40
    assert run("--ndjson", file, "--resume", "--speed-up=max").returncode == 0  # the options come from the stream that is there
    assert run("--ndjson", file + "2", *options, "--speed-up=max").returncode == 0
    assert Path(file).read_bytes() == Path(file + "2").read_bytes()


def test_counting_again_is_told_and_ends_at_a_signal(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_bytes(b"")
    sent = {"next": 10_000_000, "sizes": {"0": 0}, "stream": Stream(rate=50, accounts=200).record()}
    Path(f"{file}.epoch.json").write_text(json.dumps(sent))
    process = start("--ndjson", str(file), "--resume")
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=6)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 143
    assert re.fullmatch(rb"(counting again what was sent: epoch [\d,]+ of 10,000,000\n)+nothing was sent; stopped, --resume goes on\n", said)
    assert json.loads(Path(f"{file}.epoch.json").read_text()) == sent


def test_a_stream_that_began_now_keeps_its_begin() -> None:
    args = cli.parser().parse_args(["--ndjson=x", "--start=now", "--resume", "--rate=5"])
    kept = Stream(start=1_000, rate=5, duration=7)
    assert cli.stream_of(args, kept) == kept
    assert cli.stream_of(args, None).start > 1_700_000_000


def test_options_can_be_for_a_new_stream_only() -> None:
    args = cli.parser().parse_args(["--ndjson=x", "--start=now", "--resume", "--rate=200", "--seed=3", "--keep-options"])
    kept = Stream(start=1_000, rate=500, duration=7)
    assert cli.stream_of(args, kept) == kept
    new = cli.stream_of(args, None)
    assert (new.rate, new.seed, new.start > 1_700_000_000) == (200, 3, True)


def test_killed_for_good_and_resumed(tmp_path: Path) -> None:
    folder, options = tmp_path / "out", ["--duration=60", "--rate=50", "--accounts=200"]
    process = start("--parquet", str(folder), *options, "--speed-up=10", "--workers=2")
    until = time.monotonic() + 60
    while time.monotonic() < until and len(list(folder.glob("events/*.parquet"))) < 4:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    assert run("--parquet", str(folder), "--resume", "--speed-up=max").returncode == 0
    assert run("--parquet", str(tmp_path / "whole"), *options, "--speed-up=max").returncode == 0

    def files(where: Path) -> dict[str, bytes]:
        return {str(p.relative_to(where)): p.read_bytes() for p in where.rglob("*") if p.is_file() and p.suffix not in (".lock", ".npz")}

    assert files(folder) == files(tmp_path / "whole")


def test_metrics_are_served_on_loopback_only() -> None:
    metrics = Metrics(0)
    metrics.tell(Told(Batch(0, None, 1234, {"purchase": 7, "salary": 1}, declined=2, duplicates=3, malformed=4, late=5, fraud=6), 0.5, 1_777_626_001_000))
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for line in ('simulator_events_total{type="purchase"} 7.0', 'simulator_extra_records_total{kind="duplicate"} 3.0', "simulator_late_events_total 5.0",
                 'simulator_extra_records_total{kind="malformed"} 4.0', "simulator_bytes_total 1234.0", "simulator_epochs_total 1.0",
                 "simulator_event_time_seconds 1.777626001e+09", "simulator_lag_seconds 0.5", "simulator_fraud_events_total 6.0"):  # fmt: skip
        assert line in text.splitlines(), line
    assert metrics._server.server_address[0] == "127.0.0.1"
    metrics._server.shutdown()
    metrics._server.server_close()


def test_a_port_that_is_taken_is_told() -> None:
    first = Metrics(0)
    try:
        assert cli.main(["--ndjson", "-", "--metrics-port", str(first.port)]) == 1
    finally:
        first._server.shutdown()
        first._server.server_close()


def test_properties_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# of the site\nsecurity.protocol = SASL_SSL\n\nsasl.password=a=b\n")
    assert cli.properties(str(file)) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    file.write_text("nonsense\n")
    assert cli.main(["--kafka", "localhost:9", "--topic", "x", "--kafka-config", str(file)]) == 1

"""What bench.kafka_load reads out of two programs that count in their own words."""

import pytest

from bench.kafka_load import _MADE, _SENT, BYTES, CPU, RATE, WHOLE, figures_of, last, run


def test_the_load_generators_last_line_counts_not_what_it_says_on_the_way() -> None:
    output = """\
600000 records sent, 119832.2 records/sec (44.30 MB/sec), 612.4 ms avg latency, 1010.0 ms max latency.
1000449 records sent, 216997.1 records/sec (80.29 MB/sec), 98.12 ms avg latency, 401.00 ms max latency, 81 ms 50th, 240 ms 95th, 390 ms 99th, 400 ms 99.9th.
"""
    assert last(_SENT, output) == {"records": 1_000_449, "rate": 216_997.1}


def test_the_simulators_last_line_counts() -> None:
    output = """\
epoch 5 of 11 · 2026-05-01 09:00:05 · 500,100 records, 186.9 MiB · 98,002/s
epoch 11 of 11 · 2026-05-01 09:00:11 · 1,000,449 records, 1,373.6 MiB · 116,919/s, 1.2 s behind
"""
    assert last(_MADE, output) == {"records": 1_000_449, "mib": 1_373.6, "rate": 116_919}


def test_a_producer_that_does_not_say_what_it_sent_was_not_measured() -> None:
    with pytest.raises(SystemExit, match="Unable to measure a producer"):
        last(_SENT, "nothing was left to send")


def test_the_whole_process_counts_with_its_start() -> None:
    figures = figures_of(records=1_000_000, rate=200_000, size=400, seconds=8, cpu=12.5)
    assert (figures[RATE], figures[BYTES], figures[WHOLE], figures[CPU]) == (200_000, 80, 125_000, 12.5)


def test_a_programs_cpu_is_its_childrens_too_and_a_failure_is_told() -> None:
    _, seconds, cpu = run(["timeit", "-n", "1", "-r", "1", "-s", "import subprocess, sys", "subprocess.run([sys.executable, '-c', 'sum(range(10**7))'])"])
    assert cpu > 0 and seconds > 0.05
    with pytest.raises(SystemExit, match="ended with 2"):
        run(["simulator", "--no-such-option"])

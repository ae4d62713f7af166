"""The benchmarks' own arithmetic: what a figure means must not depend on who prints it."""

import ast
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.converge import empty_dag, seconds_of
from bench.figures import whole
from bench.fraud import measured
from bench.lab import highest, processes, pss_of, ticks_of
from bench.minio_server import requests_in
from bench.report import Aim, compare, number, ratio, table
from bench.s3a import FILE_COMMITTER, PREFIX, changed
from include.lake.errors import LakeError
from include.lake.usage import BucketUsage, Noncurrent, Usage, Volume


def test_a_ratio_is_taken_pair_by_pair_so_that_a_slow_minute_counts_for_both() -> None:
    assert ratio([2, 20, 2], [1, 10, 1]) == 2
    assert ratio([1, 2, 9], [1, 1, 1]) == 2, "the median, not the mean"
    assert ratio([1], [0]) is None, "nothing is so many times nothing"
    with pytest.raises(ValueError):
        ratio([1, 2], [1])


def test_an_aim_says_whether_it_was_met() -> None:
    assert Aim(most=1 / 3).judge(0.33) == "≤ 0.333: met"
    assert Aim(most=1.5).judge(1.51) == "≤ 1.5: MISSED"
    assert (Aim(least=1.7).judge(1.7), Aim(least=1.7).judge(1.69)) == ("≥ 1.7: met", "≥ 1.7: MISSED")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (9031.0, "9,031"), (1234.5, "1,234"), (31.66, "31.7"), (1.234, "1.23"), (0.126, "0.13"), (0.00123, "0.0012")]
)
def test_a_figure_has_as_many_digits_as_it_deserves(value: float, text: str) -> None:
    assert number(value) == text


def test_a_table_is_markdown_with_aligned_columns() -> None:
    assert table(["", "median"], [["a", "1"], ["long", "1,000"]]).splitlines() == [
        "|      | median |",
        "| ---- | -----: |",
        "| a    |      1 |",
        "| long |  1,000 |",
    ]


def test_peers_are_compared_with_the_baseline_and_with_their_aim() -> None:
    text = compare({"seconds": {"peer": [2.0, 4.0], "mine": [1.0, 2.0]}}, "peer", {("seconds", "mine"): Aim(most=0.4)})
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]
    assert rows[0] == ["", "", "min", "median", "max", "to peer", "aim"]
    assert rows[2:] == [["seconds", "peer", "2", "3", "4", "", ""], ["", "mine", "1", "1.50", "2", "0.50×", "≤ 0.4: MISSED"]]


def test_requests_are_read_from_minios_metrics_and_only_those_of_s3() -> None:
    metrics = """# TYPE minio_api_requests_total counter
minio_api_requests_total{name="PutObject",server="127.0.0.1:9000",type="s3"} 403
minio_api_requests_total{name="ListObjectsV2",server="127.0.0.1:9000",type="s3"} 1.2e+03
minio_api_requests_total{name="Metrics",server="127.0.0.1:9000",type="other"} 7
minio_api_requests_5xx_errors_total{name="PutObject",server="127.0.0.1:9000",type="s3"} 1
"""
    assert requests_in(metrics) == Counter(PutObject=403, ListObjectsV2=1200)


def test_a_setting_can_be_added_replaced_and_taken_away() -> None:
    profile = {f"{PREFIX}a": "1", f"{PREFIX}b": "2"}
    assert changed(profile, ["a=3", "b=-", "c.d=x=y", "spark.e=5"]) == {f"{PREFIX}a": "3", f"{PREFIX}c.d": "x=y", "spark.e": "5"}
    assert profile == {f"{PREFIX}a": "1", f"{PREFIX}b": "2"}


def test_hadoops_default_committer_is_asked_for_by_name() -> None:
    assert all("S3A" not in v and "cloud" not in v for v in FILE_COMMITTER.values())


def test_the_empty_dag_has_the_shape_it_is_given() -> None:
    text = empty_dag("{'a': ['g.b'], 'g.b': []}")
    assert "shape = {'a': ['g.b'], 'g.b': []}" in text
    ast.parse(text)


def test_a_command_that_fails_or_says_something_else_is_not_measured() -> None:
    assert seconds_of(["echo", "Applied: 0 changed"], {}, "Applied: 0 changed") > 0
    with pytest.raises(SystemExit, match="exit code 1"):
        seconds_of(["false"], {})
    with pytest.raises(SystemExit, match="Applied: 3 changed"):
        seconds_of(["echo", "Applied: 3 changed"], {}, "Applied: 0 changed")


def test_memory_is_a_process_share_of_its_pages_and_nothing_once_it_is_gone(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/smaps_rollup").write_text("Rss:  9000 kB\nPss:  4321 kB\nPss_Dirty: 12 kB\n")
    assert (pss_of(7, tmp_path), pss_of(8, tmp_path)) == (4321, 0)
    assert pss_of(1) >= 0


def test_a_process_has_computed_for_its_own_and_the_kernels_ticks(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text("7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 40 0 0 20 0 1 0 100 0 0\n")
    assert (ticks_of(7, tmp_path), ticks_of(8, tmp_path)) == (290, 0)


def test_the_processes_of_a_group_are_those_of_its_groups_too(tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    (tmp_path / "cgroup.procs").write_text("1\n2\n")
    (tmp_path / "pod/cgroup.procs").write_text("3\n")
    assert sorted(processes(tmp_path)) == [1, 2, 3]
    assert processes(tmp_path / "none") == []


def test_the_highest_sum_is_kept_with_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.lab.PAUSE", 0.01)
    looks = iter([{"a": 1.0, "sum": 1.0}, {"a": 5.0, "sum": 5.0}, *[{"a": 2.0, "sum": 2.0}] * 1000])
    with highest(lambda: next(looks)) as seen:
        time.sleep(0.1)
    assert seen == {"a": 5.0, "sum": 5.0}


def test_a_look_that_failed_was_quick_for_another_reason_and_is_not_measured() -> None:
    volume, old = Volume(1, 1, 1, 1, 0, 0, None), Noncurrent(0, 0, exact=True)
    whole(Usage(None, (BucketUsage("b", None, None, old),), volume))
    for usage in (Usage(None, (BucketUsage("b", None, None, None),), volume), Usage(None, (BucketUsage("b", None, None, old),)),
                  Usage(None, (BucketUsage("b", None, None, old),), volume, (LakeError("reach", "it", "no"),))):  # fmt: skip
        with pytest.raises(SystemExit, match="Unable to compare"):
            whole(usage)


def test_rates_of_fraud_count_attacks_their_events_and_alerts() -> None:
    attacks = {"a": {"1", "2"}, "b": {"3", "4"}}
    told = [{"events": ["1", "2", "x"]}, {"events": ["x", "y", "3"]}, {"events": ["x"]}, {"events": ["2", "z"]}]
    assert measured(told, attacks) == (1.0, 0.75, 0.5)
    assert measured(told[2:3], attacks) == (0.0, 0.0, 0.0)

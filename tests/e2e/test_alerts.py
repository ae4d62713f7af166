"""The alerts, tried by promtool on what the product tells of half an hour: each fires when it should, and in good health none does. No lab is needed."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from include.lake.metrics.exposition import exposition
from include.lake.metrics.view import ApplicationView, Churn, Snapshot
from lab.prometheus import programs
from tests.conftest import ROOT
from tests.unit.lake.metrics.test_exposition import known

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
MONITORING = ROOT / "monitoring"
RULES = MONITORING / "homelake.rules.yml"
MINUTES = 30  # the story that each case tells; of the lake that was never checked, longer
Told = tuple[Snapshot | None, dict[str, Any] | None]
Story = Callable[[int], Told]  # what is told at a minute; without a snapshot and a lake, the scrape fails


@cache
def _recorded() -> tuple[Snapshot, dict[str, Any]]:
    return known()


def healthy(minute: int) -> Told:
    """All is well: a job and a stream run, the lake is as declared and half full, and an hour ago it was checked."""
    shot, lake = _recorded()
    apps = tuple(
        replace(a, phase="running", ended=None, churn=Churn(), queries=tuple(replace(q, input_rate=100.0, processing_rate=400, behind=200) for q in a.queries))
        for a in shot.applications
    )
    resources = [{**r, "status": "ok"} for r in lake["resources"]]
    levels = [{**level, "used": 50, "limit": 100, "per_day": 0.5} for level in lake["levels"]]
    return replace(shot, at=60.0 * minute, applications=apps), {**lake, "checked": 60.0 * minute - 3600, "resources": resources, "levels": levels}


def jobs(change: Callable[[ApplicationView, int], ApplicationView]) -> Story:
    """As in good health, but for the jobs."""

    def story(minute: int) -> Told:
        shot, lake = healthy(minute)
        assert shot
        return replace(shot, applications=tuple(change(a, minute) for a in shot.applications)), lake

    return story


def queries(change: Callable[[int], dict[str, Any]]) -> Story:
    """As in good health, but for the stream's queries."""
    return jobs(lambda a, minute: replace(a, queries=tuple(replace(q, **change(minute)) for q in a.queries)))


def lakes(change: Callable[[int], dict[str, Any]]) -> Story:
    """As in good health, but for the lake."""

    def story(minute: int) -> Told:
        shot, lake = healthy(minute)
        assert lake
        return shot, {**lake, **change(minute)}

    return story


def sweeps(**change: Any) -> Story:
    """As in good health, but for the collector."""

    def story(minute: int) -> Told:
        shot, lake = healthy(minute)
        assert shot
        return replace(shot, **change), lake

    return story


def memory_at(share: float) -> Story:
    def change(a: ApplicationView, minute: int) -> ApplicationView:
        return replace(a, pods=tuple(replace(p, now=replace(p.now, memory=share * (p.bounds.memory_limit or 0)) if p.now else None) for p in a.pods))

    return jobs(change)


def killed(a: ApplicationView, minute: int) -> ApplicationView:
    return replace(a, churn=Churn(out_of_memory=1, out_of_memory_at=600.0) if minute >= 10 else Churn())


def counted_anew(a: ApplicationView, minute: int) -> ApplicationView:
    """Three pods were killed hours ago; from the tenth minute on another process tells of it, which knows one of them."""
    return replace(a, churn=Churn(out_of_memory=3 if minute < 10 else 1, out_of_memory_at=-7200.0))


def first_seen_killed(minute: int) -> Told:
    shot, lake = healthy(minute)
    assert shot
    return replace(shot, applications=() if minute < 10 else tuple(killed(a, minute) for a in shot.applications)), lake


def level(name: str, **change: Any) -> Story:
    levels = [{"name": name, "used": 50, "limit": 100, "per_day": 0.5, **change}]
    return lakes(lambda _: {"levels": levels})


def status(word: str) -> Story:
    return lakes(lambda _: {"resources": [{"id": "bucket/datalake", "status": word}]})


# What is told, the minute at which it is looked, and the alerts that fire then: these, and no other.
CASES: dict[str, tuple[Story, int, set[str]]] = {
    "in good health": (healthy, 25, set()),
    "memory at 97 %": (memory_at(0.97), 5, {"SparkPodNearItsMemoryLimit"}),
    "memory at 97 % for a minute": (memory_at(0.97), 1, set()),
    "memory at 90 %": (memory_at(0.90), 25, set()),
    "a pod is killed": (jobs(killed), 15, {"SparkPodOutOfMemory"}),
    "a pod was killed long ago": (jobs(killed), 25, set()),
    "kills are counted anew": (jobs(counted_anew), 15, set()),
    "a job is first seen with a killed pod": (first_seen_killed, 15, {"SparkPodOutOfMemory"}),
    "a job has failed": (jobs(lambda a, _: replace(a, phase="failed", ended=60.0)), 25, {"SparkJobFailed"}),
    "a job failed yesterday": (jobs(lambda a, _: replace(a, phase="failed", ended=-86400.0)), 25, set()),
    "a job could not be submitted": (jobs(lambda a, _: replace(a, phase="failed", started=None, ended=None, pods=(), queries=())), 25, {"SparkJobFailed"}),
    "a job is done": (jobs(lambda a, _: replace(a, phase="done", ended=60.0)), 25, set()),
    "a job waits": (jobs(lambda a, _: replace(a, phase="waiting", queries=())), 25, {"SparkJobWaits"}),
    "a job has waited for eight minutes": (jobs(lambda a, _: replace(a, phase="waiting", queries=())), 8, set()),
    "a driver tells nothing": (jobs(lambda a, _: replace(a, problem="Unable to read it: timed out.", queries=())), 25, {"SparkDriverSilent"}),
    "a driver tells nothing for five minutes": (jobs(lambda a, m: replace(a, problem="late" if m < 5 else "", queries=())), 25, set()),
    "more comes in than is processed": (queries(lambda _: {"input_rate": 500.0}), 25, {"StreamFallsBehind"}),
    "it reads all it may, and the lag grows": (queries(lambda m: {"input_rate": 390.0, "behind": 30_000.0 + 6_000 * m}), 25, {"StreamLagGrows"}),
    "it stands still, and the lag grows": (queries(lambda m: {"input_rate": None, "processing_rate": None, "behind": 6_000.0 * m}), 25, {"StreamLagGrows"}),
    "it catches up": (queries(lambda m: {"input_rate": 390.0, "behind": 300_000.0 - 6_000 * m}), 25, set()),
    "the lag is that of a few batches": (queries(lambda m: {"behind": 200.0 + 10 * m}), 25, set()),
    "the watermark stands still": (queries(lambda m: {"watermark_delay": 910.0 + 60 * m}), 25, {"StreamWatermarkStuck"}),
    "the watermark is as far behind as duplicates are looked for": (queries(lambda m: {"watermark_delay": 900.0 + 5 * (m % 4)}), 25, set()),
    "the watermark is a minute behind": (queries(lambda _: {"watermark_delay": 61.0}), 25, set()),
    "a bucket is 81 % full": (level("bucket/datalake", used=81, per_day=None), 25, {"LakeFillsUp"}),
    "inodes are 81 % used": (level("inodes", used=81, per_day=None), 25, {"LakeFillsUp"}),
    "a bucket without a quota": (level("bucket/datalake", used=81, limit=None), 25, set()),
    "the volume is full in 5 days": (level("volume", per_day=10.0), 25, {"LakeFullWithinAWeek"}),
    "inodes are used up in 5 days": (level("inodes", per_day=10.0), 25, {"LakeFullWithinAWeek"}),
    "the volume is full in 50 days": (level("volume", per_day=1.0), 25, set()),
    "the volume shrinks": (level("volume", per_day=-10.0), 25, set()),
    "a bucket differs": (status("changes"), 25, {"LakeDrifted"}),
    "a change is refused": (status("refused"), 25, {"LakeDrifted"}),
    "a change waits for a restart": (status("pending"), 25, set()),
    "a part is away": (status("unreachable"), 25, {"LakePartUnreachable"}),
    "the check is four hours old": (lakes(lambda m: {"checked": 60.0 * m - 4 * 3600}), 25, {"LakeNotChecked"}),
    "there was no check yet": (lakes(lambda _: {"checked": None, "resources": []}), 25, set()),
    "there was never a check": (lakes(lambda _: {"checked": None, "resources": []}), 200, {"LakeNeverChecked"}),
    "the collector hangs": (sweeps(at=-600.0), 25, {"HomelakeCollectorStale"}),
    "a source does not answer": (sweeps(problems=("Unable to reach Kubernetes: refused.",)), 25, {"HomelakeCollectorStale"}),
    "only the jobs are told, by ./lake exporter": (lambda m: (healthy(m)[0], None), 25, set()),
    "a scrape fails": (lambda m: healthy(m) if m < 5 else (None, None), 25, {"HomelakeDown"}),
}


def promtool(*args: Any, cwd: Path) -> str:
    done = subprocess.run([programs() / "promtool", *args], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def series(story: Story, minutes: int, job: str = "homelake") -> list[dict[str, str]]:
    """The scrapes of a story, one a minute, as promtool takes them."""
    found: dict[str, list[str]] = {}
    for minute in range(minutes + 1):
        told = story(minute)
        up = told != (None, None)
        samples = {_named("up", job, {}): 1.0 if up else 0.0}
        for family in text_string_to_metric_families(exposition(*told)):
            samples |= {_named(s.name, job, s.labels): s.value for s in family.samples}
        for name in found.keys() | samples.keys():
            values = found.setdefault(name, ["_"] * minute)
            values.append(f"{samples[name]:f}" if name in samples else "stale" if values and values[-1] not in ("_", "stale") else "_")
    return [{"series": name, "values": " ".join(values)} for name, values in found.items()]


def _named(name: str, job: str, labels: dict[str, str]) -> str:
    whole = {"job": job, "instance": "127.0.0.1:9109", **labels}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in whole.items()) + "}"


def tried(folder: Path, given: list[dict[str, str]], checks: list[dict[str, Any]]) -> None:
    """Have promtool look at the rules over a story."""
    test = {"interval": "1m", "input_series": given, "promql_expr_test": checks}
    (folder / "test.yml").write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", "test.yml", cwd=folder)


def firing(minute: int, names: set[str]) -> dict[str, Any]:
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)]
    return {"expr": 'group by (alertname) (ALERTS{alertstate="firing"})', "eval_time": f"{minute}m", "exp_samples": expected}


@pytest.mark.parametrize("case", CASES)
def test_the_alerts_that_should_fire_do_and_no_other(case: str, tmp_path: Path) -> None:
    story, minute, names = CASES[case]
    rules = alerts()
    # Each label that an alert's text names is one that it has.
    labels = [(name, label) for name in names for label in set(re.findall(r"\$labels\.(\w+)", str(rules[name]["annotations"])))]
    without = [{"expr": f'ALERTS{{alertname="{name}",alertstate="firing",{label}=""}}', "eval_time": f"{minute}m", "exp_samples": []} for name, label in labels]
    tried(tmp_path, series(story, max(MINUTES, minute)), [firing(minute, names), *without])


def test_a_prometheus_that_has_no_homelake_to_ask_says_so(tmp_path: Path) -> None:
    others = [{"series": 'up{job="node",instance="127.0.0.1:9100"}', "values": "1x30"}]
    tried(tmp_path, others, [firing(25, {"HomelakeDown"})])


def test_every_alert_is_tried_is_well_formed_and_leads_to_a_page_that_is_there(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES, cwd=tmp_path)
    rules = alerts()
    assert set(rules) == {name for _, _, names in CASES.values() for name in names}
    for name, rule in rules.items():
        text = rule["annotations"]
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert text["summary"] and not text["summary"].endswith("."), name
        # Homelake's form of an error: what, cause, remedy.
        assert re.fullmatch(r"Unable to [a-z]+ .+: .+\. [A-Z].+\.", text["description"]), name
        page, _, place = text["runbook"].partition("#")
        assert page.startswith("docs/how-to/"), name
        headings = {re.sub(r"[^a-z0-9 -]", "", h.lower()).strip().replace(" ", "-") for h in re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)}
        assert not place or place in headings, f"{name}: {page} has no {place}"


def test_the_page_tells_of_each_alert() -> None:
    page = (ROOT / "docs/how-to/monitor.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(alerts())


def test_the_example_of_a_configuration_is_one(tmp_path: Path) -> None:
    for file in ("prometheus.yml", RULES.name):
        (tmp_path / file).write_text((MONITORING / file).read_text())
    (tmp_path / "airflow-token").write_text("a token")
    assert f"{len(alerts())} rules found" in promtool("check", "config", "prometheus.yml", cwd=tmp_path)

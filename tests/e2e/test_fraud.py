"""Alerts of fraud by a real stream, held against the simulator's ground truth; neither a kill nor the cut of the batches changes them."""

import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from bench.fraud import Rates, measured, truth
from bench.spark_home import QUICK
from bench.stream_site import StreamSite, stream_site
from simulator.stream import Stream
from tests.conftest import ROOT
from tests.e2e.test_compaction import compacted

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

# Ten minutes of a tenth of what the simulator makes by default, with more fraud, so that there are attacks enough to count.
SHAPE: dict[str, Any] = {"seed": 4, "rate": 100, "accounts": 10_000, "duration": 600, "fraud": 0.06}


# A little below what six seeds gave. Attacks that the ten minutes cut off count as missed, so over an hour it is more: docs/explanation/stream.md.
LEAST = {"card_testing": Rates(0.87, 0.96, 0.98), "account_takeover": Rates(0.83, 0.89, 0.98), "mule_chain": Rates(0.85, 0.93, 0.98)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamSite]:
    with stream_site(print, tmp_path_factory.mktemp("kafka"), QUICK) as made:
        assert made.simulate("--partitions=3", "--speed-up=max", *(f"--{k}={v}" for k, v in SHAPE.items())).wait(300) == 0
        yield made


def ended(site: StreamSite, process: "subprocess.Popen[bytes]") -> str:
    assert process.wait(240) == 0, site.log.read_text()[-3000:]
    return site.log.read_text()


def rows(site: StreamSite) -> pa.Table:
    """What `./lake stream files alerts` names."""
    return site.table("alerts")


def alerts(site: StreamSite) -> dict[str, dict[str, Any]]:
    """By id, as the documentation reads them: of an alert that has grown the newest row counts."""
    query = re.search(r'duckdb\.sql\("(from alerts .+)"\)', (ROOT / "docs/how-to/stream-payments.md").read_text())
    assert query
    with duckdb.connect() as db:
        db.register("alerts", rows(site))
        found = db.sql(query[1]).to_arrow_table().to_pylist()
    assert len({a["id"] for a in found}) == len(found)
    return {a["id"]: a for a in found}


def in_one_look(site: StreamSite) -> StreamSite:
    """The same payments beside, in one batch and one look; made once."""
    whole = site.beside("whole")
    if not whole.entries("gold"):
        ended(whole, whole.start("--once", "--max-records=1000000", "--alerts-every=3600"))
        assert len(whole.entries("gold")) == 1
    return whole


def looks_with_files(site: StreamSite) -> set[int]:
    listed = site.server.s3.list_objects_v2(Bucket=site.server.bucket, Prefix=f"{site.prefix}/alerts/").get("Contents", [])
    return {int(m[1]) for o in listed if (m := re.search(r"/batch=(\d{20})-\w+/date=.*\.parquet$", o["Key"]))}


def killed_within_a_look(site: StreamSite, process: "subprocess.Popen[bytes]") -> None:
    """Kill it when a look after the first has written its alerts, and has not committed them."""
    deadline = time.monotonic() + 240
    while max(looks_with_files(site), default=0) < 1:
        assert process.poll() is None and time.monotonic() < deadline, (site.entries("gold"), site.log.read_text()[-3000:])
        time.sleep(0.02)
    site.kill(process)
    assert looks_with_files(site) - {e["batch"] for e in site.entries("gold")}, "the look was over before the kill"


def test_alerts_are_right(site: StreamSite) -> None:
    whole = in_one_look(site)
    found = alerts(whole)
    true = truth(Stream(**SHAPE))
    for rule, least in LEAST.items():
        told = measured([a for a in found.values() if a["rule"] == rule], true[rule])
        print(rule, told)
        assert all(value >= wanted for value, wanted in zip(told, least, strict=True)), (rule, told)
    report = whole.audit()
    assert report.failed == ()
    assert report.counts["alerts"] == len(found)


def test_neither_a_kill_nor_the_cut_changes_them_and_each_is_there_once(site: StreamSite) -> None:
    cut = ("--once", "--max-records=24000", "--alerts-every=1")
    killed_within_a_look(site, site.start(*cut))
    looked = len(site.entries("gold"))
    ended(site, site.start(*cut))
    entries = site.entries("gold")
    assert 0 < looked < len(entries), "looks before the kill and after it"
    assert [e["batch"] for e in entries] == list(range(len(entries)))
    assert entries[-1]["silver"] == site.entries("silver")[-1]["batch"]
    found, whole = alerts(site), rows(in_one_look(site)).to_pylist()
    assert {i: (a["rule"], a["subject"], a["events"]) for i, a in found.items()} == {a["id"]: (a["rule"], a["subject"], a["events"]) for a in whole}
    report = site.audit()
    assert report.failed == ()
    assert report.counts["alerts"] == len(found)


def test_compaction_leaves_one_row_an_alert(site: StreamSite) -> None:
    if not site.entries("gold"):  # when it is run alone
        ended(site, site.start("--once", "--max-records=16000", "--alerts-every=0.5"))
    before, grown = alerts(site), len(rows(site))
    assert grown > len(before), "an alert has grown from look to look"
    said = compacted(site, "--min-batches=1", "--keep=1")
    assert re.search(r"gold: batches 0 to \d+ put together", said), said[-2000:]
    assert alerts(site) == before
    newest = sum(a["batch"] == site.entries("gold")[-1]["batch"] for a in rows(site).to_pylist())
    assert len(rows(site)) - newest <= len(before)

"""The events: over a real server on loopback, since a test client shows no stream before its end."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from include.dashboard import feed as feeds
from include.dashboard.app import create_app
from include.dashboard.feed import Feed, encode
from include.dashboard.lake_view import LakeView
from tests.unit.dashboard.stand_ins import Site, application

Tokens = Callable[[str, str | None], str]


class Server:
    """An application, served."""

    def __init__(self, app: Any, feed: Feed, site: Site | None = None) -> None:
        self.feed, self.site = feed, site or Site()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=lambda: self._server.run([self._socket]), daemon=True)
        self._thread.start()

    def get(self, path: str, token: str, **headers: str) -> HTTPResponse:
        connection = HTTPConnection("127.0.0.1", self._socket.getsockname()[1], timeout=10)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}", **headers})
        return connection.getresponse()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()


def ours(static: Path) -> Server:
    """The page's application alone, behind its guard."""
    site = Site()
    app = create_app(site, static)
    return Server(app, app.state.feed, site)


@pytest.fixture
def server(airflow: Any, static: Path) -> Iterator[Server]:
    server = ours(static)
    yield server
    server.stop()


def events(stream: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Each event with its document."""
    name = ""
    while line := stream.readline().decode().rstrip("\n") + "\n":
        if line.startswith("event: "):
            name = line[7:].strip()
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def test_a_viewer_gets_each_sweep_and_the_lake_when_it_changed(server: Server, token: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "LAKE", 0)
    monkeypatch.setattr(feeds, "LOOK", 0.05)
    sweeps = server.site.sweeps
    sweeps.sweep(application(), at=100)
    stream = server.get("/api/live", token("viewer", "viewer"))
    assert (stream.status, stream.getheader("Content-Type"), stream.getheader("Cache-Control")) == (200, "text/event-stream; charset=utf-8", "no-store")
    come = events(stream)
    begin = dict(next(come) for _ in range(2))
    assert (begin["snapshot"]["at"], begin["snapshot"]["applications"][0]["name"], begin["lake"]["name"]) == (100, "job-1", "lake")
    sweeps.sweep(at=102)
    name, second = next(come)
    assert (name, second["at"], second["applications"]) == ("snapshot", 102, [])
    server.site.lake_now = LakeView("lake", 2.0)
    assert next(come) == ("lake", LakeView("lake", 2.0).as_json() | {"resources": [], "levels": [], "buckets": [], "keys": [], "problems": []})
    stream.close()


def test_many_listen_to_one_thread_and_who_goes_is_noticed(server: Server, token: Tokens) -> None:
    server.site.sweeps.sweep(at=100)
    mine = token("viewer", "viewer")
    before = set(threading.enumerate())
    streams = [server.get("/api/live", mine) for _ in range(50)]  # more than Airflow's API server has threads
    until(lambda: len(server.feed) == 50)
    new = [t.name for t in set(threading.enumerate()) - before]
    assert new.count("homelake-feed") == 1
    assert len(new) < 45, "the threads that ask for the rights, and ours"
    assert server.site.sweeps.watching == 1
    began = time.monotonic()
    assert server.get("/api/snapshot", mine).read()
    assert time.monotonic() - began < 2, "fifty who wait hold up nobody"
    for stream in streams:
        assert dict([next(events(stream)), ]).keys() <= {"snapshot", "lake"}  # fmt: skip
        stream.close()
    until(lambda: len(server.feed) == 0)
    until(lambda: server.site.sweeps.watching == 0)
    assert server.site.sweeps.started == 1


def test_a_collector_that_cannot_be_made_is_told_and_tried_again(server: Server, token: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "AGAIN", 0.05)
    site = server.site
    site.away = "it is not configured"
    mine = token("viewer", "viewer")
    told = "Unable to find the connection 'kubernetes_default': it is not configured."
    assert json.loads(server.get("/api/snapshot", mine).read())["problems"] == [told]
    answer = server.get("/api/applications/spark-jobs/job-1/series", mine)
    assert (answer.status, json.loads(answer.read())) == (503, {"error": told})
    come = events(server.get("/api/live", mine))
    assert next(d for name, d in come if name == "snapshot")["problems"] == [told]
    site.away = ""
    site.sweeps.sweep(at=100)
    assert next(d for name, d in come if name == "snapshot" and not d["problems"])["at"] == 100


def test_the_server_ends_though_somebody_listens(airflow: Any, static: Path, token: Tokens) -> None:
    server = ours(static)
    server.site.sweeps.sweep(at=100)
    stream = server.get("/api/live", token("viewer", "viewer"))
    until(lambda: len(server.feed) == 1)
    server.stop()
    stream.close()
    assert server.site.sweeps.stopped == 1


def test_figures_that_are_no_numbers_are_null(server: Server, token: Tokens) -> None:
    document = json.loads(server.get("/api/applications/spark-jobs/job-1/series", token("viewer", "viewer")).read(), parse_constant=pytest.fail)
    assert document["total"]["cpu"] == [0.5, None]
    assert encode({"a": (float("nan"), 1.5, "x"), "b": [{"c": -float("inf")}]}) == '{"a":[null,1.5,"x"],"b":[{"c":null}]}'


def test_an_application_that_is_not_known_has_no_figures(server: Server, token: Tokens) -> None:
    server.site.sweeps.sweep(at=100)
    assert server.get("/api/applications/spark-jobs/nosuch/series", token("viewer", "viewer")).status == 404
    assert server.get("/api/past/spark-jobs/nosuch", token("viewer", "viewer")).status == 404


def test_a_job_of_the_lake_is_told_by_its_start_too(server: Server, token: Tokens) -> None:
    mine = token("viewer", "viewer")
    (job,) = json.loads(server.get("/api/past", mine).read())
    for query in ("", f"?stamp={job['stamp']}"):
        assert json.loads(server.get(f"/api/past/spark-jobs/old-1{query}", mine).read())["application"] == {"name": "old-1"}
    other = server.get("/api/past/spark-jobs/old-1?stamp=20261126T221301Z", mine)
    assert (other.status, json.loads(other.read())["detail"]) == (404, "The lake keeps nothing of spark-jobs/old-1 from 20261126T221301Z")


# One listener, without a server


@contextmanager
def listening(feed: Feed, **times: float) -> Iterator[tuple[asyncio.Runner, AsyncIterator[str]]]:
    with asyncio.Runner() as runner:
        stream = feed.stream(**times)
        yield runner, stream
        with suppress(StopAsyncIteration):
            runner.run(stream.aclose())  # type: ignore[attr-defined]


def test_a_comment_keeps_a_quiet_stream_awake() -> None:
    with listening(Feed(Site()), quiet=0.05) as (runner, stream):
        come = [runner.run(anext(stream)) for _ in range(6)]  # type: ignore[arg-type]
    assert come[0] == "retry: 1000\n\n"
    assert come.count(": still here\n\n") >= 3


def test_a_stream_ends_so_that_who_listens_is_let_in_anew() -> None:
    feed = Feed(Site())

    async def all_of_it() -> list[str]:
        return [text async for text in feed.stream(life=0.2, quiet=0.05)]

    began = time.monotonic()
    assert asyncio.run(all_of_it())
    assert time.monotonic() - began < 2
    assert len(feed) == 0


def test_who_reads_slowly_gets_the_newest_only() -> None:
    site = Site()
    site.sweeps.sweep(at=1)
    with listening(Feed(site)) as (runner, stream):
        runner.run(anext(stream))  # type: ignore[arg-type]
        for at in range(2, 30):
            site.sweeps.sweep(at=at)
            time.sleep(0.01)
        time.sleep(0.1)
        come = runner.run(anext(stream))  # type: ignore[arg-type]
        while '"at":29' not in come:
            come = runner.run(anext(stream))  # type: ignore[arg-type]
    assert come.count("event: snapshot") == 1

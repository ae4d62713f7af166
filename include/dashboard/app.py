"""The application behind the page: answers in JSON, the built page itself, and events. No request changes anything."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import yaml
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from include.dashboard.feed import Feed, encode
from include.dashboard.guard import USER, Guard, may_read
from include.dashboard.services import Services, of_airflow
from include.lake.errors import LakeError
from include.settings import ROOT

STATIC = ROOT / "plugins" / "static"
HASHED = re.compile(r"-[\w-]{8,}\.\w+$")  # a file of the build whose name changes with its content
MOST_LINES = 5000


def create_app(services: Services | None = None, static: Path = STATIC) -> FastAPI:
    """The application, behind its guard. Nothing outside is reached for before the first request."""
    services = services or of_airflow()
    feed = Feed(services)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()

    app = FastAPI(title="Homelake", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, middleware=[Middleware(Guard)])
    app.state.feed = feed
    app.add_exception_handler(LakeError, _told)
    _current(app, services, feed)
    _applications(app, services)
    _past(app, services)
    _page(app, static)
    return app


async def _told(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 503)


def _json(document: Any, status: int = 200) -> Response:
    return Response(encode(document), status, media_type="application/json")


def _current(app: FastAPI, services: Services, feed: Feed) -> None:
    # Plain functions run in threads: what they wait for holds up nobody else.
    @app.get("/api/lake")
    def lake() -> Response:
        return _json(services.lake().as_json())

    @app.get("/api/snapshot")
    def snapshot() -> Response:
        return _json(services.snapshot().as_json())

    @app.get("/api/live")
    async def live() -> Response:
        # X-Accel-Buffering: nginx would else keep events until its buffer is full.
        return StreamingResponse(feed.stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @app.get("/metrics")
    def metrics() -> Response:
        from include.lake.metrics.exposition import exposition

        return PlainTextResponse(exposition(services.snapshot(), services.lake().as_json()), media_type="text/plain; version=0.0.4; charset=utf-8")


def _applications(app: FastAPI, services: Services) -> None:
    @app.get("/api/applications/{namespace}/{name}/series")
    def series(namespace: str, name: str) -> Response:
        found = services.collector.series(namespace, name)
        if not found and services.snapshot():  # of a process that has just begun the first sweep is waited for
            found = services.collector.series(namespace, name)
        if not found:
            raise HTTPException(404, f"No figures of {namespace}/{name} are kept here")
        return _json({pod: columns.as_json() for pod, columns in found.items()})

    @app.get("/api/applications/{namespace}/{name}/log")
    def log(request: Request, namespace: str, name: str, pod: str = "", lines: Annotated[int, Query(ge=1, le=MOST_LINES)] = 200) -> Response:
        user = request.scope[USER]
        if not may_read(request, user, logs=True):
            raise HTTPException(403, "You may not read the logs of tasks")
        found = services.application(namespace, name)
        # Only what is shown as one of the job's own pods: the cluster's other pods are nobody's business here.
        pods = {p.name: p.role for p in found.pods} if found else {}
        pod = pod or next((p for p, role in pods.items() if role == "driver"), "")
        if found is None or pod not in pods:
            raise HTTPException(404, f"{namespace}/{name} has no pod {pod or 'of a driver'}")
        if found.origin and not may_read(request, user, logs=True, dag_id=found.origin.dag_id):
            raise HTTPException(403, f"You may not read the logs of {found.origin.dag_id}")
        return PlainTextResponse(services.collector.log(namespace, name, pod, lines))

    @app.get("/api/applications/{namespace}/{name}/manifest")
    def manifest(request: Request, namespace: str, name: str) -> Response:
        found = services.application(namespace, name)
        if found is None:
            raise HTTPException(404, f"The cluster has no Spark application {namespace}/{name}")
        if found.origin and not may_read(request, request.scope[USER], dag_id=found.origin.dag_id):
            raise HTTPException(403, f"You may not read the DAG {found.origin.dag_id}, which submitted it")
        # As plain text: a browser shows it, and does not store it as a file.
        return PlainTextResponse(yaml.safe_dump(services.collector.manifest(namespace, name), sort_keys=False, allow_unicode=True, width=150))


def _past(app: FastAPI, services: Services) -> None:
    @app.get("/api/past")
    def past() -> Response:
        return _json(services.past.list())

    @app.get("/api/past/{namespace}/{name}")
    def one(namespace: str, name: str, stamp: str = "") -> Response:
        found = services.past.read(namespace, name, stamp)
        if found is None:
            raise HTTPException(404, f"The lake keeps nothing of {namespace}/{name}{f' from {stamp}' if stamp else ''}")
        return _json(found)


class _Built(StaticFiles):
    """The built page. What has its content's hash in its name never changes."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        fixed = HASHED.search(str(args[0]))
        answer.headers["Cache-Control"] = "private, max-age=31536000, immutable" if fixed else "no-cache"
        return answer


def _page(app: FastAPI, static: Path) -> None:
    if static.is_dir():
        app.mount("/", _Built(directory=static, html=True))
        return

    @app.get("/")
    def unbuilt() -> Response:
        raise HTTPException(404, f"Unable to show the page: {static} is missing. Build it: make ui")

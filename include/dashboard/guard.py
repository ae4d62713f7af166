"""Who may see the page: whoever Airflow lets in and lets read the DAG `lake_governance`. Nobody may write.

Airflow mounts a plugin's application as it is, open to everyone; so this stands around the whole of it, unknown paths and static files included.
"""

from html import escape
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user, requires_access_dag
from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DAG = "lake_governance"
READING = ("GET", "HEAD")
USER = "homelake.user"  # the key of the scope under which the guard leaves who asks
HEADERS = {
    # The page stands in a frame of Airflow's own; everything it loads comes from here, and what it asks of Airflow too.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware: 401 without a session or token of Airflow's, 403 without the right to read the DAG, 405 for what would write."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008, "reason": ""})
        request = Request(scope, receive)
        answer = await self._refusal(request) or self.app
        return await answer(scope, receive, _with_headers(send))

    async def _refusal(self, request: Request) -> Response | None:
        user = await _who(request)
        if user is None:
            return _not_logged_in(request)
        if not await run_in_threadpool(may_read, request, user):
            return _refused(request, 403, f"You may not read the DAG {DAG}", "Ask whoever runs this Airflow for the right to read it.")
        if request.method not in READING:
            return JSONResponse({"error": "Nothing is changed here: only GET is answered."}, 405, {"Allow": ", ".join(READING)})
        request.scope[USER] = user
        return None


async def _who(request: Request) -> Any:
    """The user as Airflow's own API finds them: the bearer's token, else the session's cookie. None: nobody that Airflow knows."""
    try:
        return await get_user(request, None, await bearer_scheme(request))
    except HTTPException:
        return None


def may_read(request: Request, user: Any, *, logs: bool = False, dag_id: str = DAG) -> bool:
    """Whether the user may read a DAG, or the logs of its tasks. May ask Airflow's database."""
    try:
        requires_access_dag("GET", DagAccessEntity.TASK_LOGS if logs else None, dag_id)(request, user)
    except HTTPException:
        return False
    return True


def _not_logged_in(request: Request) -> Response:
    root = request.scope.get("app_root_path", "")
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    link = f'<a href="{escape(root)}/api/v2/auth/login?next={quote(here, safe="")}">Log in to Airflow</a>'
    return _refused(request, 401, "You are not logged in", "Your session may have ended.", link)


def _refused(request: Request, status: int, cause: str, remedy: str, link: str = "") -> Response:
    """A short page for a browser that navigates, JSON for everything else."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"error": f"{cause}. {remedy}"}, status, headers)
    page = (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Homelake</title>'
            f'<body style="font-family: system-ui; padding: 2rem"><h1>{cause}</h1><p>{remedy} {link}</p>')  # fmt: skip
    return HTMLResponse(page, status, headers)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending

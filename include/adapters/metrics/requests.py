"""GET requests to the API server and through its proxies: plain JSON and text, counted, each with a time limit of its own."""

import json
import threading
from collections.abc import Sequence
from typing import Any

from include.adapters.kubernetes import Kubernetes
from include.adapters.network import network_cause
from include.lake.errors import LakeError

CONNECT_SECONDS = 2.0
Query = Sequence[tuple[str, str]]


class Requests:
    """The requests, and how many there were."""

    def __init__(self, kubernetes: Kubernetes) -> None:
        self._k, self._counting, self._calls = kubernetes, threading.Lock(), 0

    @property
    def calls(self) -> int:
        """How many requests were made so far."""
        return self._calls

    def objects(self, what: str, path: str, query: Query = (), seconds: float = 10) -> Any:
        """What the API server itself says, as JSON. Raises LakeError."""

        def get(*, _request_timeout: Any) -> Any:  # the time limit of other calls is too long here
            found = json.loads(self._get(path, query, seconds))
            if not isinstance(found, dict):
                raise ValueError
            return found

        return self._k.call(what, get)

    def text(self, what: str, path: str, query: Query = (), seconds: float = 10, remedy: str = "") -> str:
        """What somebody behind the API server says: a kubelet, a driver. Raises LakeError, with the cause that the API server or they themselves tell."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return self._get(path, query, seconds).decode(errors="replace")
        except ApiException as error:
            raise LakeError("read", what, _cause(error), remedy) from None
        except (HTTPError, OSError) as error:
            raise LakeError("read", what, network_cause(error), remedy) from None

    def json(self, what: str, path: str, query: Query = (), seconds: float = 10, remedy: str = "") -> Any:
        """The same, as JSON."""
        try:
            return json.loads(self.text(what, path, query, seconds, remedy))
        except ValueError:
            raise LakeError("read", what, "what answers there does not answer with JSON", remedy) from None

    def _get(self, path: str, query: Query, seconds: float) -> bytes:
        with self._counting:
            self._calls += 1
        answer = self._k.api.call_api(path, "GET", query_params=list(query), header_params={"Accept": "application/json, */*"}, auth_settings=["BearerToken"],
                                      _preload_content=False, _request_timeout=(min(CONNECT_SECONDS, seconds), seconds))  # fmt: skip
        try:
            return bytes(answer.data)
        finally:
            answer.release_conn()


def _cause(error: Any) -> str:
    """In the API server's words when it says a Status, else the first line of what the other side said."""
    body = error.body or ""
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        first = next((line.strip() for line in str(body).splitlines() if line.strip()), "")
        message = f"it answered {error.status}: {first if first and not first.startswith('<') else error.reason}"
    return message.removeprefix("error trying to reach service: ")[:300]

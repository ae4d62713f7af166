"""The parameters of a request, as the real API reads them from its query and its body."""

import json
import re
import urllib.parse
from typing import Any

from aiohttp import web

from lab.pve.errors import ApiError, bad_parameters


async def parameters(request: web.Request) -> dict[str, Any]:
    """The query's parameters, and the body's; the query's win."""
    given: dict[str, Any] = {}
    if request.can_read_body:
        given = from_body(request.method, request.headers.get("Content-Type", ""), await request.read())
    given |= pairs(request.rel_url.raw_query_string)
    given.pop("_dc", None)  # browsers' way around caches
    return {name: value for name, value in given.items() if value is not None}


def from_body(method: str, content_type: str, body: bytes) -> dict[str, Any]:
    """What a body holds; None is what is named without a value. Raises for what the real API does not read."""
    if method not in ("POST", "PUT"):
        raise ApiError(501, f"Unexpected content for method '{method}'")
    kind = re.split(r"\s*[;,]\s*", content_type)[0]
    if kind == "application/json":
        return _json(body)
    if kind in ("", "application/x-www-form-urlencoded"):
        return pairs(body.decode(errors="replace"))
    raise ApiError(506, f"upload 'Content-Type '{content_type}' not implemented")  # its quotes are the real one's


def pairs(text: str) -> dict[str, Any]:
    """A form's pairs. As in the real one they end at `;` too, a value ends at an `=` that is not encoded, and an empty one is none."""
    found: dict[str, Any] = {}
    for pair in re.split("[&;]", text):
        name, *rest = (urllib.parse.unquote_plus(part, errors="replace") for part in pair.rstrip("=").split("="))
        value, before = rest[0] if rest else None, found.get(name)
        if value is not None and before is not None:
            found[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            found[name] = value
    return found


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        raise ApiError(500, "malformed JSON string") from None
    if not isinstance(content, dict):
        raise bad_parameters({"": "an object is required"})
    return {name: _from_json(value) for name, value in content.items()}


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value

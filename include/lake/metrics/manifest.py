"""A SparkApplication as text for a reader, without what is secret in it or may be.

Left out: the values of environment variables, of settings with a name like a secret's, and whatever follows such a name in a text (arguments, Java
options, errors). Where a secret comes from (`secretKeyRef`) stays: that is a name, not a secret.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

LEFT_OUT = "(left out)"
_SECRET = (
    r"secret|passw(?:or)?d|passphrase|pwd|token|credential|api[._-]?key|access[._-]?key|private[._-]?key|key[._-]?pass|jaas|authorization|signature|[._-]key\b"
)
_NAME = re.compile(rf"(?i){_SECRET}|\.(?:driverenv|executorenv)\.|appmasterenv")
# What stands behind such a name in a text: after = or :, or, for an option of its own, after a blank.
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'[^']*'"
_GIVEN = re.compile(rf"(?i)((?:{_SECRET})[\w.\-]{{0,80}}[\"']?\s{{0,9}}[=:]\s*)(?:bearer\s+|basic\s+)?(?:{_QUOTED}|[^\s\"',;&}}]+)")
_AFTER = re.compile(rf"(?i)((?:^|\s)--?[\w.\-]{{0,80}}(?:{_SECRET})[\w.\-]{{0,80}}\s+)(?:{_QUOTED}|[^\s-][^\s]*)")
_OPTION = re.compile(rf"(?i)--?[\w.\-]{{0,80}}(?:{_SECRET})[\w.\-]{{0,80}}")
_USER = re.compile(r"(\w://)[^\s/@]+@")
_MAPS = ("sparkConf", "hadoopConf", "envVars", "annotations", "labels", "nodeSelector", "options")  # of a user's own names
_NOISE = ("managedFields", "selfLink")
_COPY = "kubectl.kubernetes.io/last-applied-configuration"  # the whole once more, as one text


def readable(application: Mapping[str, Any]) -> dict[str, Any]:
    """The application without its secrets. What was given is not changed."""
    found: dict[str, Any] = _part(application)
    return found


def _part(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _named(str(k), v) for k, v in value.items() if k not in _NOISE and k != _COPY}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _list(value)
    return _text(value) if isinstance(value, str) else value


def _named(name: str, value: Any) -> Any:
    if name == "env" and isinstance(value, Sequence):
        return [{k: LEFT_OUT if k == "value" else _part(v) for k, v in e.items()} if isinstance(e, Mapping) else LEFT_OUT for e in value]
    if name in _MAPS and isinstance(value, Mapping):
        return {k: LEFT_OUT if name == "envVars" or _NAME.search(str(k)) else _part(v) for k, v in value.items() if k != _COPY}
    return _part(value)


def _list(values: Sequence[Any]) -> list[Any]:
    """A list; in one of words the one after an option like `--password` is its value."""
    found: list[Any] = []
    for i, value in enumerate(values):
        before = values[i - 1] if i else None
        secret = isinstance(value, str) and isinstance(before, str) and _OPTION.fullmatch(before) is not None
        found.append(LEFT_OUT if secret else _part(value))
    return found


def _text(value: str) -> str:
    value = _USER.sub(rf"\1{LEFT_OUT}@", value)
    return _AFTER.sub(rf"\1{LEFT_OUT}", _GIVEN.sub(rf"\1{LEFT_OUT}", value))

"""The Grafana dashboard as Grafana's own types read it: a name that they do not know is lost on the way through."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.conftest import ROOT

GIVEN = json.loads((ROOT / "monitoring/grafana.json").read_text())


def through(given: dict[str, Any]) -> dict[str, Any]:
    """What is left of a dashboard in Grafana's types."""
    return dict(json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(json.loads(json.dumps(given))))))


def differences(given: Any, known: Any, path: str = "") -> Iterator[str]:
    """Where something given is not known, or is known as something else."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name, value in given.items():
            yield from differences(value, known.get(name), f"{path}.{name}")
    elif isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for number, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif given != known:
        yield path


def test_grafana_knows_all_of_it() -> None:
    assert list(differences(GIVEN, through(GIVEN))) == []


@pytest.mark.parametrize("place", ["panel", "defaults", "top"])
def test_a_wrong_name_would_be_noticed(place: str) -> None:
    given = json.loads(json.dumps(GIVEN))
    panel = next(p for p in given["panels"] if "targets" in p)
    {"panel": panel, "defaults": panel["fieldConfig"]["defaults"], "top": given}[place]["unitt"] = "s"
    assert [d.rpartition(".")[2] for d in differences(given, through(given))] == ["unitt"]

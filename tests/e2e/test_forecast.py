"""Growth, and the day on which the lake is full, out of the history that lake_governance keeps in a real Airflow.

Only time is made: between two runs the moments of the history are set back by half a day. What grows is written to the lake.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]
HALF_A_DAY, MIB = 12 * 3600, 1 << 20
WRITTEN = 200 * MIB  # between two runs


def history(site: Site) -> dict[str, object]:
    """The history, as Airflow has it."""
    return dict(json.loads(site.lab.lake("airflow", "variables", "get", "homelake_usage").stdout.splitlines()[-1]))


def set_back(site: Site) -> None:
    """Half a day passes."""
    kept = history(site)
    assert isinstance(kept["at"], list)
    aged = kept | {"at": [at - HALF_A_DAY for at in kept["at"]]}
    site.lab.lake("airflow", "variables", "set", "homelake_usage", json.dumps(aged))


def test_the_day_on_which_it_is_full(converged: Site) -> None:
    lake, s3 = converged.lab.lake, converged.s3()
    lake("airflow", "variables", "delete", "homelake_usage", check=False)
    refused = lake("usage", "--forecast", check=False)
    assert refused.returncode == 1
    assert "Airflow has none here" in refused.stderr
    try:
        for run in range(3):
            if run:
                set_back(converged)
                s3.put_object(Bucket="datalake", Key=f"test-forecast/{run}", Body=bytes(WRITTEN))
            converged.dag("lake_governance")
        told = json.loads(lake("usage", "--forecast", "--json", check=False).stdout)
        assert len(history(converged)["at"]) == 3  # type: ignore[arg-type]
    finally:
        lake("airflow", "variables", "delete", "homelake_usage", check=False)
    volume = next(level for level in told["levels"] if level["name"] == "volume")
    assert volume["per_day"] == pytest.approx(2 * WRITTEN, rel=0.1)
    days = (volume["limit"] - volume["used"]) / volume["per_day"]
    told_days = (datetime.fromisoformat(volume["full"]) - datetime.now(UTC)) / timedelta(days=1)
    assert told_days == pytest.approx(days, rel=0.02, abs=1)

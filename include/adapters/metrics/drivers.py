"""What Spark drivers say of themselves, asked through the API server's proxy of their pods: no service, no port of the driver's is opened."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from include.adapters.metrics.requests import Requests
from include.lake.errors import LakeError
from include.lake.metrics import parse_spark
from include.lake.metrics.parse import UNREADABLE
from include.lake.metrics.samples import DriverFacts, StageFact

PORT = 4040
SECONDS = 3.0  # of one request; a sweep does not wait that long for it
# Spark tells of up to a thousand stages, some megabytes: the whole list is asked so seldom that it takes a driver at most a twentieth of the time.
# In between come those that run or wait.
SHARE = 20
_UNDER_WAY = (("status", "active"), ("status", "pending"))
REMEDY = "Its figures come when it answers; with spark.ui.enabled=false it never does"


@dataclass(frozen=True)
class Driver:
    """A driver that runs. `application_id` is Spark's own, of the label `spark-app-selector`."""

    namespace: str
    pod: str
    uid: str
    application_id: str
    stream: bool


@dataclass
class _Stages:
    """The ended stages of the latest whole list, and when the next may be asked."""

    ended: tuple[StageFact, ...] = ()
    due: float = 0


class Drivers:
    """Asks drivers: three requests each at most."""

    def __init__(self, requests: Requests, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests, self._clock = requests, clock
        self._stages: dict[str, _Stages] = {}  # by the driver's uid

    def keep(self, uids: set[str]) -> None:
        """Forget all others."""
        self._stages = {uid: s for uid, s in self._stages.items() if uid in uids}

    def ask(self, driver: Driver) -> DriverFacts:
        """What one driver says. Raises LakeError when it says nothing; what it says but in part has the problem with it."""
        facts = DriverFacts()
        try:
            facts = replace(facts, executors=parse_spark.executors(self._json(driver, "executors", "/allexecutors")))
            facts = replace(facts, stages=self._ask_stages(driver))
            if driver.stream:
                what, path = self._where(driver, "streaming figures", "/metrics/prometheus/")
                facts = replace(facts, queries=parse_spark.queries(self._requests.text(what, path, (), SECONDS, REMEDY), time.time()))
        except LakeError as error:
            if not facts.executors:
                raise
            facts = replace(facts, problem=str(error))
        except UNREADABLE:
            raise LakeError("read", f"the driver {driver.namespace}/{driver.pod}", "it does not answer as Spark's REST API does", REMEDY) from None
        return facts

    def _ask_stages(self, driver: Driver) -> tuple[StageFact, ...]:
        memory, began = self._stages.setdefault(driver.uid, _Stages()), self._clock()
        whole = began >= memory.due
        told = parse_spark.stages(self._json(driver, "stages", "/stages", () if whole else _UNDER_WAY))
        if whole:
            now = self._clock()
            memory.due = now + SHARE * (now - began)
            memory.ended = tuple(s for s in told if s.status not in ("active", "pending"))
            return told
        again = {(s.id, s.attempt) for s in told}
        return (*told, *(s for s in memory.ended if (s.id, s.attempt) not in again))

    def _json(self, driver: Driver, name: str, path: str, query: tuple[tuple[str, str], ...] = ()) -> list[dict[str, object]]:
        what, whole = self._where(driver, name, f"/api/v1/applications/{driver.application_id}{path}")
        found = self._requests.json(what, whole, query, SECONDS, REMEDY)
        if not isinstance(found, list):
            raise TypeError(f"{path} is no list")
        return found

    @staticmethod
    def _where(driver: Driver, name: str, path: str) -> tuple[str, str]:
        proxy = f"/api/v1/namespaces/{driver.namespace}/pods/{driver.pod}:{PORT}/proxy"
        return f"the {name} of the driver {driver.namespace}/{driver.pod}", proxy + path

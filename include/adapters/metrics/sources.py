"""The sources of the dashboard's figures, all of them behind the Kubernetes API: no agent, no port, one kube config.

A sweep costs, in requests: for each namespace (or once for the whole cluster) the lists of SparkApplications and of Spark's pods, and every ten
seconds that of warnings; one to the kubelet of each node with a running Spark pod; and three at most to each running driver. Lists come from the
API server's cache (`resourceVersion=0`), not from etcd.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from include.adapters.kubernetes import Kubernetes
from include.adapters.metrics.drivers import Driver, Drivers
from include.adapters.metrics.parallel import Parallel
from include.adapters.metrics.requests import Query, Requests
from include.lake.errors import LakeError
from include.lake.metrics import parse
from include.lake.metrics.fold import Sweep
from include.lake.metrics.samples import ApplicationFact, DriverFacts, EventFact, PodFact, PodUse
from include.lake.spark import APP_LABEL, GROUP, PLURAL, VERSION

LIMIT = 1.0  # seconds that a sweep waits for kubelets and drivers together; what is late is heard in the next
NODE_SECONDS = 10.0  # of one request to a kubelet
EVENT_SECONDS = 10.0  # from one list of warnings to the next: an API server keeps them in etcd alone, an hour's worth
KEPT_SECONDS = 30.0  # that a driver's last answer stands for one that is late
DRIVERS_AT_ONCE, NODES_AT_ONCE = 6, 3  # together fewer than the connections that Kubernetes' client keeps, ten on two cores
MOST_PROBLEMS = 3  # of nodes that are told one by one
LOG_BYTES = 2**20
AWAY = "Unable to reach Kubernetes"
F = TypeVar("F")
_Pod = tuple[PodFact, str]  # with Spark's own id of its application


class Sources:
    """Asks once when told to. A source that fails is a problem of the sweep, never an exception.

    Without namespaces: those of the whole cluster. `only`: of this application, and of nothing else.
    """

    def __init__(
        self, kubernetes: Kubernetes, namespaces: tuple[str, ...], *, only: str = "", limit: float = LIMIT, clock: Callable[[], float] = time.time
    ) -> None:
        self._namespaces, self._limit, self._clock = tuple(namespaces), limit, clock
        self._which: Query = (("fieldSelector", f"metadata.name={only}"),) if only else ()
        self._pods_of: Query = (("labelSelector", f"{parse.ROLE},{APP_LABEL}={only}" if only else parse.ROLE),)
        self._requests = Requests(kubernetes)
        self._drivers = Drivers(self._requests)
        self._drivers_asked: Parallel[Driver, DriverFacts] = Parallel(DRIVERS_AT_ONCE)
        self._nodes_asked: Parallel[str, list[PodUse]] = Parallel(NODES_AT_ONCE)
        self._told: dict[Driver, tuple[float, DriverFacts]] = {}  # when, and what
        self._heard = 0.0
        self._events: tuple[EventFact, ...] | None = None
        self._applications: tuple[ApplicationFact, ...] = ()  # of the latest lists: kubelets and drivers are asked even when a list fails
        self._pods: tuple[_Pod, ...] = ()

    @property
    def calls(self) -> int:
        """Requests made so far."""
        return self._requests.calls

    def gather(self) -> Sweep:
        """Ask every source once."""
        at, began, calls, problems = self._clock(), time.monotonic(), self.calls, list[str]()
        applications = self._list("SparkApplications", f"/apis/{GROUP}/{VERSION}", PLURAL, self._which, parse.application, problems)
        pods = self._list("Spark's pods", "/api/v1", "pods", self._pods_of, _pod, problems)
        self._applications = self._applications if applications is None else applications
        self._pods = self._pods if pods is None else pods
        events = self._warnings(at, problems)
        away = problems[-1:] if applications is None and pods is None and all(p.startswith(AWAY) for p in problems) else None
        uses, drivers = self._behind(problems)
        problems = away or problems  # who cannot be reached at all cannot lead to kubelets either: said once is enough
        facts = None if pods is None else tuple(fact for fact, _ in pods)
        return Sweep(at, time.monotonic() - began, self.calls - calls, applications, facts, uses, drivers, events, tuple(problems))

    def log(self, namespace: str, pod: str, lines: int) -> str:
        """The last lines of a pod's log, a mebibyte at most. Raises LakeError."""
        # Not by limitBytes: of the last lines that gives the first mebibyte, and the end is what is looked for.
        told = self._requests.text(f"the log of the pod {namespace}/{pod}", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", (("tailLines", str(lines)),))
        return told if len(told) <= LOG_BYTES else told[-LOG_BYTES:].partition("\n")[2]

    def manifest(self, namespace: str, name: str) -> Mapping[str, Any]:
        """A SparkApplication as the API server has it, secrets included. Raises LakeError."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"
        found: Mapping[str, Any] = self._requests.objects(f"the SparkApplication {namespace}/{name}", path)
        return found

    def _list(self, what: str, api: str, plural: str, query: Query, function: Callable[[parse.Document], F], problems: list[str]) -> tuple[F, ...] | None:
        """All namespaces' objects; None when one of them could not be listed: half a list would tell of ends that were none."""
        found: list[parse.Document] = []
        try:
            for where in [f"/namespaces/{n}" for n in self._namespaces] or [""]:
                found += parse.items(self._requests.objects(what, f"{api}{where}/{plural}", (("resourceVersion", "0"), *query)))
        except LakeError as error:
            problems.append(str(error))
            return None
        except parse.UNREADABLE:
            problems.append(str(LakeError("read", what, "the API server's answer is no list")))
            return None
        facts, unread = [], 0
        for document in found:
            try:
                facts.append(function(document))
            except parse.UNREADABLE:
                unread += 1
        if unread:
            problems.append(str(LakeError("read", what, f"{unread} of them are not as Kubernetes and the Spark operator write them")))
        return tuple(facts)

    def _warnings(self, at: float, problems: list[str]) -> tuple[EventFact, ...] | None:
        if not 0 <= at - self._heard < EVENT_SECONDS:
            self._events = self._list("warnings", "/api/v1", "events", (("fieldSelector", "type=Warning"),), parse.event, problems)
            self._heard = at if self._events is not None else 0
        return self._events

    def _behind(self, problems: list[str]) -> tuple[tuple[PodUse, ...], dict[tuple[str, str], DriverFacts]]:
        """What kubelets and drivers say, asked at the same time."""
        running = [(fact, spark) for fact, spark in self._pods if fact.phase == "Running" and fact.node]
        uids = {(fact.namespace, fact.name): fact.uid for fact, _ in running}
        nodes = sorted({fact.node for fact, _ in running})
        streams = {(a.namespace, a.driver): a.stream for a in self._applications}
        drivers = [Driver(f.namespace, f.name, f.uid, spark, streams[f.namespace, f.name]) for f, spark in running if (f.namespace, f.name) in streams]
        self._drivers.keep({d.uid for d in drivers})
        began = time.monotonic()
        self._nodes_asked.begin({n: partial(self._node, n, uids) for n in nodes})
        self._drivers_asked.begin({d: partial(self._drivers.ask, d) for d in drivers})
        return self._use(nodes, began, problems), self._facts(drivers, began)

    def _left(self, began: float) -> float:
        return max(began + self._limit - time.monotonic(), 0)

    def _node(self, node: str, uids: Mapping[tuple[str, str], str]) -> list[PodUse]:
        what, remedy = (
            f"the kubelet's figures of the node {node}",
            "Its pods show no CPU and memory; the account of the kube config needs the right to get nodes/proxy",
        )
        document = self._requests.json(what, f"/api/v1/nodes/{node}/proxy/stats/summary", (), NODE_SECONDS, remedy)
        try:
            return parse.summary(document, uids)
        except parse.UNREADABLE:
            raise LakeError("read", what, "it does not answer as a kubelet does", remedy) from None

    def _use(self, nodes: list[str], began: float, problems: list[str]) -> tuple[PodUse, ...]:
        answers = self._nodes_asked.end(nodes, self._left(began))
        failures = [str(a.error) for a in answers.values() if a.error is not None]
        problems += failures[:MOST_PROBLEMS]
        if more := failures[MOST_PROBLEMS:]:
            problems.append(str(LakeError("read", f"the kubelet's figures of {len(more)} more nodes", "as above")))
        return tuple(use for a in answers.values() for use in a.value or ())

    def _facts(self, drivers: list[Driver], began: float) -> dict[tuple[str, str], DriverFacts]:
        answers, now = self._drivers_asked.end(drivers, self._left(began)), time.monotonic()
        found = {}
        for driver, answer in answers.items():
            at, before = self._told.get(driver, (-KEPT_SECONDS, DriverFacts()))
            if answer.value is not None:
                at, before = now, answer.value
            elif answer.error is not None or now - at > KEPT_SECONDS:
                late = LakeError("read", f"the driver {driver.namespace}/{driver.pod}", f"no answer within {self._limit:g} s")
                before = DriverFacts(problem=str(answer.error or late))
            found[driver] = (at, before)
        self._told = found
        return {(d.namespace, d.pod): facts for d, (_, facts) in found.items()}


def _pod(document: parse.Document) -> _Pod:
    return parse.pod(document), parse.spark_id(document)

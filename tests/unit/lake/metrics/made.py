"""Samples, made on the spot, and those of the recordings."""

import json
from dataclasses import replace
from typing import Any

from include.lake.metrics import parse, parse_spark
from include.lake.metrics.fold import Sweep
from include.lake.metrics.samples import ApplicationFact, DriverFacts, ExecutorFact, PodFact, PodUse, StageFact
from tests.unit.conftest import recorded

T0 = 1_777_626_000.0
GIB = 2.0**30


def app(name: str = "job", **more: Any) -> ApplicationFact:
    whole = {"namespace": "jobs", "name": name, "uid": f"uid-{name}", "state": "RUNNING", "error": "", "created": T0, "started": T0, "ended": None,
             "driver": f"{name}-driver", "stream": False, "main": "job.py"}  # fmt: skip
    return ApplicationFact(**{**whole, **more})


def pod(executor: str = "1", name: str = "job", **more: Any) -> PodFact:
    """An executor's; of executor `driver`, the driver's."""
    own = f"{name}-driver" if executor == "driver" else f"{name}-exec-{executor}"
    whole = {"namespace": "jobs", "name": own, "uid": f"uid-{own}", "application": name, "role": "driver" if executor == "driver" else "executor",
             "executor": executor, "node": "n1", "phase": "Running", "reason": "", "message": "", "exit_code": None, "created": T0 + 1, "started": T0 + 2,
             "ended": None, "cpu_request": 1.0, "cpu_limit": None, "memory_request": GIB, "memory_limit": GIB}  # fmt: skip
    return PodFact(**{**whole, **more})


def use(of: PodFact, at: float, **more: Any) -> PodUse:
    return PodUse(of.namespace, of.name, at, **more)


def executor(id: str = "1", **more: Any) -> ExecutorFact:
    whole = {"id": id, "active": True, "cores": 1, "heap": 1e8, "off_heap": 1e7, "spark_off_heap": 0.0, "direct": 2e6, "mapped": 0.0, "gc_seconds": 0.0, "running": 0, "done": 0, "failed": 0, "input_bytes": 0.0,
             "shuffle_read": 0.0, "shuffle_written": 0.0}  # fmt: skip
    return ExecutorFact(**{**whole, **more})


def stage(id: int = 0, **more: Any) -> StageFact:
    whole = {"id": id, "attempt": 0, "name": "count", "status": "complete", "tasks": 4, "running": 0, "done": 4, "failed": 0, "input_bytes": 0.0,
             "input_rows": 0.0, "output_bytes": 0.0, "output_rows": 0.0, "shuffle_read": 0.0, "shuffle_written": 0.0}  # fmt: skip
    return StageFact(**{**whole, **more})


def sweep(at: float, *pods: PodFact, uses: tuple[PodUse, ...] = (), apps: tuple[ApplicationFact, ...] | None = None, **more: Any) -> Sweep:
    return Sweep(at, applications=(app(),) if apps is None else apps, pods=pods, uses=uses, **more)


def document(name: str) -> Any:
    return json.loads(recorded(f"metrics/{name}.json"))


def recorded_sweep(which: int, folder: str = "", driver: str = "payments-stream-driver") -> Sweep:
    """One of the two recorded sweeps, as the sources make it."""
    pods = tuple(parse.pod(p) for p in document(f"{folder}pods-{which}")["items"])
    uses = tuple(parse.summary(document(f"{folder}summary-{which}"), {(p.namespace, p.name): p.uid for p in pods}))
    at = max(u.at for u in uses) + 1
    facts = DriverFacts(
        parse_spark.executors(document(f"{folder}allexecutors-{which}")),
        parse_spark.stages(document(f"{folder}stages-{which}")),
        parse_spark.queries(recorded(f"metrics/{folder}prometheus-{which}.txt"), at),
    )
    return Sweep(
        at,
        applications=tuple(parse.application(a) for a in document(f"{folder}sparkapplications-{which}")["items"]),
        pods=pods,
        uses=uses,
        drivers={("spark-jobs", driver): facts},
        events=tuple(parse.event(e) for e in document(f"{folder}events-{which}")["items"]),
    )


def many(one: Sweep, applications: int, executors: int, at: float) -> Sweep:
    """A recorded sweep of one application with an executor, made many: each its own names, the same figures, at another moment."""
    fact = next(a for a in one.applications or () if a.stream)
    of = {p.role: p for p in one.pods or () if p.application == fact.name}
    used = {u.pod: u for u in one.uses}
    told = one.drivers[fact.namespace, fact.driver]
    spark = {e.id: e for e in told.executors}
    apps, pods, uses, drivers = [], [], [], {}
    for a in range(applications):
        name = f"stream-{a}"
        apps.append(replace(fact, name=name, uid=name, driver=f"{name}-driver"))
        for e in range(executors + 1):
            old, own, id = of["executor" if e else "driver"], f"{name}-exec-{e}" if e else f"{name}-driver", str(e) if e else "driver"
            pods.append(replace(old, name=own, uid=own, application=name, executor=id, node=f"node-{a % 100}"))
            uses.append(replace(used[old.name], pod=own, at=at + e % 10, network_at=at + e % 7))
        facts = tuple(replace(spark["1"], id=str(e)) for e in range(1, executors + 1))
        drivers[fact.namespace, f"{name}-driver"] = replace(told, executors=(*facts, spark["driver"]))
    return Sweep(at, applications=tuple(apps), pods=tuple(pods), uses=tuple(uses), drivers=drivers, events=one.events)

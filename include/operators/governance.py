"""The operators of lake_governance: what differs, what of it is mended, how full the lake is, and whether that is well."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Asset, AssetAlias, Variable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.adapters.clients import Clients
from include.lake.contradictions import contradictions
from include.lake.errors import LakeError
from include.lake.figures import Report, point, report, thresholds
from include.lake.forecast import HISTORY, History, from_json, remember, to_json
from include.lake.lake import AnyResource, Lake
from include.lake.resource import ensure
from include.lake.survey import Status, survey
from include.lake.usage import measure
from include.operators.base import LakeOperator
from include.render import lines_of, plan_lines, summary
from include.usage_table import lines, verdicts

# An event comes only when there is something to tell, which Airflow does through an alias: an asset that is an outlet has one a run.
DRIFT, USAGE = Asset("homelake/drift"), Asset("homelake/usage")
DIFFERS = (Status.CHANGES, Status.LATER)
AGAIN = 15.0  # seconds after which a part that did not answer is looked at once more


class OutOfReach(AirflowFailException):
    """A part could not be reached: what it holds is not known, which is neither drift nor its absence."""


class GovernanceOperator(LakeOperator):
    """Base: an operator that knows the whole lake and may announce an event of an asset."""

    def __init__(self, *, lake: Lake, announces: Asset | None = None, **kwargs: Any) -> None:
        super().__init__(outlets=[AssetAlias(announces.name)] if announces else [], **kwargs)
        self._lake, self._asset = lake, announces

    def announce(self, context: Any, facts: dict[str, Any]) -> None:
        """An event of the asset, with these facts."""
        assert self._asset
        whole = {"lake": self._lake.spec.name, "declaration": self._lake.spec.digest(), "run": context["dag_run"].run_id, **facts}
        context["outlet_events"][AssetAlias(self._asset.name)].add(self._asset, extra=whole)


class CheckOperator(GovernanceOperator):
    """Find how every resource stands; reads only. Drift is told and announced here; `verdict` fails for it."""

    def __init__(self, *, again: float = AGAIN, **kwargs: Any) -> None:
        super().__init__(announces=DRIFT, **kwargs)
        self._again = again

    def work(self, context: Any, parts: Clients) -> list[dict[str, Any]]:
        """Returns a row for each resource, as `./lake plan --json`."""
        findings = survey(self._lake.resources(), parts)
        if away := [f for f in findings if f.status is Status.UNREACHABLE]:
            self.log.warning("%s\nLooking once more in %.0f s.", away[0].error, self._again)
            time.sleep(self._again)
            findings = survey(self._lake.resources(), parts)
        wrong = [f for f in findings if f.status not in (Status.OK, Status.PENDING)]
        told = [line for f in findings if f.status is not Status.OK for line in lines_of(f)]
        self.log.log(logging.WARNING if wrong else logging.INFO, "%s", "\n".join([summary(findings), *told]))
        if wrong:
            self.announce(context, {"resources": [f.as_dict() for f in wrong]})
        return [f.as_dict() | {"usable": f.usable} for f in findings]


class RepairOperator(GovernanceOperator):
    """With the run's param `remediate`, make what differs as declared, unless that may lose data. One failure stops no other repair."""

    def work(self, context: Any, parts: Clients) -> list[dict[str, Any]]:
        """Returns a row for each resource that was to be repaired: `repaired` or not, the changes, the error."""
        if not context["params"].get("remediate"):
            raise AirflowSkipException("remediate is off: nothing is changed")
        standing = {row["resource"]: row for row in context["ti"].xcom_pull(task_ids="check") or ()}
        drifted = {r for r, row in standing.items() if row["status"] in DIFFERS}
        if not drifted:
            self.log.info("nothing differs")
            return []
        with parts.host.locked(f"Airflow {self.dag_id}.{self.task_id}"):
            return list(self._repair(drifted, {r for r in drifted if not standing[r]["usable"]}, parts))

    def _repair(self, drifted: set[str], unusable: set[str], parts: Clients) -> Iterator[dict[str, Any]]:
        changed: set[str] = set()
        for resource in self._lake.resources():
            # What stands on something that was changed may differ now, though it did not before: a program is replaced, its service is old.
            if resource.id not in drifted and not changed.intersection(resource.needs):
                continue
            row = self._one(resource, unusable, parts)
            if row["repaired"]:
                unusable.discard(resource.id)
                if row["changes"]:
                    changed.add(resource.id)
            yield row

    def _one(self, resource: AnyResource, unusable: set[str], parts: Clients) -> dict[str, Any]:
        nothing: dict[str, Any] = {"resource": resource.id, "repaired": False, "changes": []}
        if waits := sorted(unusable.intersection(resource.needs)):
            return nothing | {"error": f"Unable to repair {resource.id}: it needs {', '.join(waits)}."}
        try:
            outcome = ensure(resource, parts(resource.part))
        except LakeError as error:
            self.log.warning("%s: left as it is\n%s", resource.id, error)
            return nothing | {"error": str(error)}
        self.log.info("%s: %s", resource.id, "\n".join(["repaired" if outcome.applied else "as declared", *plan_lines(outcome.plan)]))
        return nothing | {"repaired": True, "changes": outcome.as_dict()["changes"], "error": None}


class FiguresOperator(GovernanceOperator):
    """Measure how full the lake is and how fast it fills. The history is an Airflow variable."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(announces=USAGE, **kwargs)

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns the figures, as `./lake usage --json`."""
        spec, now = self._lake.spec, datetime.now(UTC)
        found = measure((b.name for b in spec.buckets), spec.filesystem.mount_point, parts, self._lake.key_pairs)
        history = self._history()
        if (newest := point(found, now)).values:
            history = remember(history, newest)
            Variable.set(HISTORY, to_json(history), description="How full the lake was: written by lake_governance")
        figures = report(found, history, thresholds(spec), now)
        against = [str(c) for c in contradictions(spec, figures.growth())]
        self._tell(figures, against)
        facts = figures.as_dict() | {"contradictions": against}
        if figures.warnings or figures.failures:
            self.announce(context, facts)
        return facts

    def _history(self) -> History:
        try:
            return from_json(Variable.get(HISTORY, default=None))
        except ValueError as error:
            self.log.warning("Airflow's variable %s could not be read (%s): another history is begun", HISTORY, error)
            return ()

    def _tell(self, figures: Report, against: list[str]) -> None:
        self.log.info("%s", "\n".join(lines(figures, self._lake.spec.minio.scanner.round)) or "nothing could be measured")
        for text in (*verdicts(figures), *(f"contradiction in the declaration: {c}" for c in against)):
            self.log.warning("%s", text)


class VerdictOperator(LakeOperator):
    """Say whether the lake is as declared and has room. It always judges, whatever became of the tasks before it."""

    def work(self, context: Any, parts: Clients) -> str:
        """Fails with everything that is wrong, each on its line; what could not be reached first, as an error of its own kind."""
        pull = context["ti"].xcom_pull
        checked, repairs, figures = pull(task_ids="check"), pull(task_ids="repair") or (), pull(task_ids="figures")
        away = list(dict.fromkeys(_out_of_reach(checked or (), figures or {})))
        wrong = [*_drift(checked, {r["resource"]: r for r in repairs}), *_fullness(figures)]
        if away:
            raise OutOfReach("\n".join([*away, *wrong]))
        if wrong:
            raise AirflowFailException("\n".join(wrong))
        return "The lake is as declared, and has room."


def _out_of_reach(checked: Any, figures: dict[str, Any]) -> Iterator[str]:
    yield from (row["error"] for row in checked if row["status"] == Status.UNREACHABLE)
    yield from (e["text"] for e in figures.get("errors", ()) if e["unreachable"])


def _drift(checked: Any, repairs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What is not as declared after the repairs, and why it was not repaired."""
    if checked is None:
        yield "Unable to judge the lake: the task check did not finish. Look at its log."
        return
    left = [row for row in checked if row["status"] in (*DIFFERS, Status.REFUSED) and not repairs.get(row["resource"], {}).get("repaired")]
    for row in left:
        if row["status"] == Status.CHANGES:
            yield f"{row['resource']} is not as declared: {'; '.join('{field}: {before} → {after}'.format(**c) for c in row['changes'])}."
        elif row["error"]:
            yield row["error"]
    yield from (row["error"] for row in repairs.values() if row["error"])
    if later := [row["resource"] for row in left if row["status"] == Status.LATER and row["resource"] not in repairs]:
        yield f"Not known until those are repaired: {', '.join(later)}."
    if left and not repairs:
        yield "Run lake_governance with remediate, or ./lake apply."


def _fullness(figures: dict[str, Any] | None) -> Iterator[str]:
    if figures is None:
        yield "Unable to judge how full the lake is: the task figures did not finish. Look at its log."
        return
    yield from figures["failures"]
    yield from (e["text"] for e in figures["errors"] if not e["unreachable"])

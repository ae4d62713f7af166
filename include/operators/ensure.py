"""The operators that make the lake as declared, or say what that would take."""

from collections.abc import Collection
from typing import Any, ClassVar

from airflow.sdk import BaseOperatorLink

from include.adapters.clients import Clients
from include.lake.resource import Outcome, Plan, Resource, ensure, plan
from include.lake.survey import Status, find
from include.operators.base import LakeOperator
from include.operators.links import MinioConsoleLink, ProxmoxVmLink
from include.render import plan_lines


class EnsureOperator(LakeOperator):
    """Ensure one or more resources of the lake, in their order.

    The run's params decide how: `check` only reports, `force` names the resources whose change may lose data.

    :param ensures: what to ensure; frozen, without secrets, and never rendered.
    """

    def __init__(self, *, ensures: Resource[Any, Any] | Collection[Resource[Any, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ensures = (ensures,) if isinstance(ensures, Resource) else tuple(ensures)  # `resources` is BaseOperator's own

    def work(self, context: Any, parts: Clients) -> list[dict[str, Any]]:
        """Returns the changes of each resource; no secret is among them."""
        params = context["params"]
        if params.get("check"):
            return self._check(context["ti"], parts)
        force = frozenset(params.get("force") or ())
        return [self._ensure(r, parts, force).as_dict() for r in self.ensures]

    def _ensure(self, resource: Resource[Any, Any], parts: Clients, force: frozenset[str]) -> Outcome:
        client = parts(resource.part)
        todo, _ = plan(resource, client)
        outcome = Outcome(todo, applied=False)
        if todo:
            # Only who has something to write takes the lock: a run without changes costs no more than looking.
            with parts.host.locked(f"Airflow {self.dag_id}.{self.task_id}"):
                outcome = ensure(resource, client, force=force)
        self._tell(outcome.plan, "changed" if outcome.applied else "as declared")
        return outcome

    def _check(self, ti: Any, parts: Clients) -> list[dict[str, Any]]:
        """As `./lake plan`: what earlier tasks of the run would still have to make is not observed, and nothing is called twice."""
        earlier = ti.xcom_pull(task_ids=[t for t in self.dag.task_ids if t != self.task_id])
        unusable = {row["resource"] for rows in earlier if isinstance(rows, list) for row in rows if isinstance(row, dict) and row.get("usable") is False}
        done = []
        for resource in self.ensures:
            finding = find(resource, parts, unusable)
            if finding.error:
                raise finding.error
            if not finding.usable:
                unusable.add(resource.id)
            self._tell(finding.plan, "would change" if finding.plan else "as declared" if finding.status is not Status.LATER else str(finding.status))
            done.append(finding.as_dict() | {"applied": False, "usable": finding.usable})
        return done

    def _tell(self, todo: Plan, verb: str) -> None:
        self.log.info("%s: %s", todo.resource_id, "\n".join([verb, *plan_lines(todo)]))


class EnsureOnProxmoxOperator(EnsureOperator):
    """Ensure what the Proxmox VE API changes."""

    operator_extra_links: ClassVar[tuple[BaseOperatorLink, ...]] = (ProxmoxVmLink(),)


class EnsureOnMinioOperator(EnsureOperator):
    """Ensure MinIO's service and what is in it."""

    operator_extra_links: ClassVar[tuple[BaseOperatorLink, ...]] = (MinioConsoleLink(),)

    def __init__(self, *, console_port: int = 9001, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.console_port = console_port


class DeclarationOperator(LakeOperator):
    """Record which declaration this run works with; later tasks of the run refuse another.

    :param warnings: what the declaration says against itself, for the log.
    """

    def __init__(self, *, warnings: Collection[object] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.warnings = [str(w) for w in warnings]

    def work(self, context: Any, parts: Clients) -> str:
        """Returns the digest."""
        for warning in self.warnings:
            self.log.warning("contradiction in the declaration: %s", warning)
        context["ti"].xcom_push(key="digest", value=self.digest)
        if context["params"].get("check"):
            self.log.info("check mode: nothing will be changed")
        return self.digest

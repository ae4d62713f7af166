"""The operators of lake_upgrade_minio."""

from typing import Any

from include.adapters.clients import Clients
from include.adapters.upgrade import snapshot_name, take_snapshot, upgrade_of
from include.lake.lake import Lake
from include.lake.upgrade import Standing, Upgrade
from include.operators.base import LakeOperator


class UpgradeOperator(LakeOperator):
    """Base of the upgrade's tasks: what they share is read from the VM each time, never handed on.

    :param lake: the lake as declared.
    """

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lake = lake

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns what was found and what was done, by SHA-256."""
        upgrade = upgrade_of(self._lake, parts, self.log.info)
        standing = upgrade.look()
        self.log.info("binary/minio: %s", standing)
        done = {"before": standing.installed, "todo": standing.todo}
        if context["params"].get("check") or not standing.todo:
            return done
        with parts.host.locked(f"Airflow {self.dag_id}.{self.task_id}"):
            return done | self.step(context, parts, upgrade, standing)

    def step(self, context: Any, parts: Clients, upgrade: Upgrade, standing: Standing) -> dict[str, Any]:
        """The task's own work, alone in the lake. Called when there is something to do."""
        raise NotImplementedError


class PrepareUpgradeOperator(UpgradeOperator):
    """Finish what a killed run left; then check the declared program and bring it to the VM, beside the one in place."""

    def step(self, context: Any, parts: Clients, upgrade: Upgrade, standing: Standing) -> dict[str, Any]:
        """Returns the SHA-256 of what was prepared."""
        upgrade.settle()
        return {"prepared": upgrade.prepare() if upgrade.look().todo else None}


class SnapshotOperator(UpgradeOperator):
    """With the param `snapshot`: take a snapshot of the VM. It is told, and never deleted."""

    def step(self, context: Any, parts: Clients, upgrade: Upgrade, standing: Standing) -> dict[str, Any]:
        """Returns the snapshot's name."""
        if not context["params"].get("snapshot") or standing.trial:
            self.log.info("no snapshot is taken%s", ": the exchange has begun already" if standing.trial else "")
            return {"snapshot": None}
        name = snapshot_name()
        take_snapshot(self._lake, parts, name, self.log.info)
        return {"snapshot": name}


class ExchangeOperator(UpgradeOperator):
    """Put the prepared program in place, prove it, and put the one before back when it fails."""

    def step(self, context: Any, parts: Clients, upgrade: Upgrade, standing: Standing) -> dict[str, Any]:
        """Returns the SHA-256 of the program that serves now."""
        upgrade.settle()
        if upgrade.look().todo:
            upgrade.exchange(upgrade.prepare())
        return {"after": upgrade.look().installed}

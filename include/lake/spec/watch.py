"""How the lake is watched and backed up."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from include.lake.spec.types import Cron, Model, Storage, Text
from include.lake.units import Percent


class Notify(Model):
    """Who is told of drift and of thresholds: one of Airflow's own notifiers, and the connection it uses."""

    kind: Literal["webhook", "email", "slack"]
    connection: Text
    to: Text | None = None  # an e-mail address, a Slack channel; a webhook's is in its connection

    @model_validator(mode="after")
    def _to(self) -> Self:
        if self.kind == "email" and "@" not in (self.to or ""):
            raise ValueError("kind email without an address; add to: someone@example.org")
        return self


class Governance(Model):
    """The recurring check of everything that is declared."""

    schedule: Cron | None = "@hourly"
    warn_at: Percent = Percent.parse("80 %")
    fail_at: Percent = Percent.parse("95 %")
    notify: Annotated[tuple[Notify, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.warn_at >= self.fail_at:
            raise ValueError(f"warn_at {self.warn_at} is not below fail_at {self.fail_at}; the warning must come first")
        return self


class Backup(Model):
    """Backups of the VM, its data disk included, by Proxmox VE's vzdump."""

    storage: Storage = "local"
    schedule: Cron | None = None
    keep: Annotated[int, Field(ge=1, le=1000)] = 3  # Homelake's own backups; others are never pruned

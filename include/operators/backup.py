"""The operators of lake_backup and lake_restore."""

from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.adapters.clients import Clients
from include.adapters.restored import prove, restore
from include.lake.backup import Keeping
from include.lake.errors import LakeError
from include.lake.lake import Lake
from include.operators.base import LakeOperator


class BackUpOperator(LakeOperator):
    """Back the lake's VM up; the param `mode` says how. A backup that an earlier try started is followed to its end.

    :param lake: the lake as declared.
    """

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lake = lake

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns the backup: its id, when it was made, its size."""
        return Keeping.of(self._lake.spec).back_up(parts.backups, context["params"]["mode"], self.log.info).as_dict()


class PruneBackupsOperator(LakeOperator):
    """Remove the oldest of Homelake's own backups of this lake beyond `backup.keep`. Others are never touched.

    :param lake: the lake as declared.
    """

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lake = lake

    def work(self, context: Any, parts: Clients) -> list[str]:
        """Returns the ids of what was removed."""
        return Keeping.of(self._lake.spec).prune(parts.backups, self.log.info)


class RestoreOperator(LakeOperator):
    """Restore a backup to a new VM beside the original. The params say which, and where; a later try goes on where this one ended.

    :param lake: the lake as declared.
    """

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lake = lake

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns the VM's id, its address, and the backup it was made from."""
        params = context["params"]
        if missing := [name for name in ("vmid", "address") if not params.get(name)]:
            raise LakeError("restore", "a backup", f"the run has no {' and no '.join(missing)}", "Trigger it with vmid and address")
        return restore(self._lake, parts, int(params["vmid"]), str(params["address"]), params.get("backup") or "", self.log.info).as_dict()


class ProveOperator(LakeOperator):
    """Prove that a restored lake holds every object version of the time of its backup, byte for byte. Skipped when the param `verify` is off.

    :param restored: what RestoreOperator returned (templated).
    """

    template_fields = ("restored",)

    def __init__(self, *, restored: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.restored = restored

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns how much was compared."""
        params = context["params"]
        if not params["verify"]:
            raise AirflowSkipException("nothing is compared: the param verify is off")
        return prove(parts, self.restored, self.log.info, params["sample"] / 100).as_dict()

"""The operators of lake_rotate_keys."""

from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from include.adapters.clients import Clients
from include.adapters.rotation import as_root
from include.adapters.stream_run import ours, renew
from include.lake.lake import Lake
from include.lake.root import root_rotation_of
from include.lake.rotation import Report, rotation_of
from include.operators import base
from include.operators.base import LakeOperator, lake_errors, same_declaration


class RotateRootOperator(LakeOperator):
    """With the param `root`: give MinIO the root credentials of the connection `minio_admin`, prove them, go back when they do not work.

    :param lake: the lake as declared.
    """

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lake = lake

    def work(self, context: Any, parts: Clients) -> None:
        """Skipped when it is not asked for."""
        if not context["params"]["root"]:
            raise AirflowSkipException("root's credentials are left alone: the param root is off")
        with parts.host.locked(f"Airflow {self.dag_id}.{self.task_id}"):
            root_rotation_of(self._lake).rotate(parts.host, parts.keypair, as_root(parts), self.log.info)


class NewKeyOperator(LakeOperator):
    """The first phase, for the param `user`: a second key pair beside the first, tried out, then in the Kubernetes secret.

    :param lake: the lake as declared.
    """

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lake = lake

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns how the rotation stands; access keys are shown by half. Skipped without a user."""
        user = context["params"]["user"]
        if not user:
            raise AirflowSkipException("no key pair is rotated: the param user is empty")
        rotation = rotation_of(self._lake, user)
        with parts.host.locked(f"Airflow {self.dag_id}.{self.task_id}"):
            rotation.begin(parts.keypair, self.log.info)
        return rotation.look(parts.keypair).as_dict()


class OldKeySensor(BaseSensorOperator):
    """The second phase: wait until no pod uses the old access key, then revoke it. No worker is kept busy in between.
    The declared stream, which would never end, is restarted at a batch boundary.

    The param `wait` says for how many seconds; with 0 it is skipped when pods still use the key, and the next run finishes.

    :param lake: the lake as declared.
    :param digest: as of every task of the lake.
    """

    ui_color = LakeOperator.ui_color

    def __init__(self, *, lake: Lake, digest: str = "", **kwargs: Any) -> None:
        super().__init__(mode="reschedule", poke_interval=30, **kwargs)
        self._lake, self.digest = lake, digest
        self._report: Report | None = None

    def execute(self, context: Any) -> Any:
        """Look, revoke or come again. When the time is over it fails with the pods' names: both keys stay valid."""
        with lake_errors():
            same_declaration(context, self.digest)
        self.timeout = int(context["params"]["wait"])
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            said = "; ".join(self._report.lines(ours(self._lake))) if self._report else ""
            raise AirflowFailException(f"Unable to revoke the old access key of {context['params']['user']} within {self.timeout} s: pods still use it ({said}). "
                                       "Both keys are valid and jobs run on. Trigger the DAG again once they have ended.") from None  # fmt: skip

    def poke(self, context: Any) -> PokeReturnValue | bool:
        """One look; its report goes to XCom once the old key is revoked."""
        with lake_errors():
            parts = base.clients(self.log.info)
            rotation = rotation_of(self._lake, context["params"]["user"])
            report, who = rotation.look(parts.keypair), f"Airflow {self.dag_id}.{self.task_id}"
            if renew(self._lake, parts, who, self.log.info, report.due):
                report = rotation.look(parts.keypair)
            if report.clear:
                with parts.host.locked(who):
                    report = rotation.finish(parts.keypair)
        self._report = report
        self.log.info("\n".join(report.lines(ours(self._lake))))
        if report.old and not context["params"]["wait"]:
            raise AirflowSkipException("pods still use the old key, and it is not waited for: the next run finishes the rotation")
        return PokeReturnValue(is_done=True, xcom_value=report.as_dict()) if not report.old else False

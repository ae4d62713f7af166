"""How the lake stands, as rows for a job, and what a job left in the lake, as S3 shows it."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from include.adapters.clients import Clients
from include.lake.errors import LakeError
from include.lake.lake import Lake
from include.lake.resource import show
from include.lake.survey import Finding, survey
from include.operators.base import LakeOperator


class ObserveOperator(LakeOperator):
    """Observe every resource of the lake; reads only. Returns rows of resource, status, detail."""

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lake = lake

    def work(self, context: Any, parts: Clients) -> list[dict[str, str]]:
        """One row a resource. A part out of reach is a row as well; the job itself will tell more."""
        rows = [_row(f) for f in survey(self._lake.resources(), parts)]
        self.log.info("observed:\n%s", "\n".join(f"{r['resource']:36} {r['status']:12} {r['detail']}" for r in rows))
        return rows


def _row(finding: Finding) -> dict[str, str]:
    changes = "; ".join(str(c) for c in (*finding.plan.changes, *finding.plan.pending))
    detail = str(finding.error) if finding.error else changes or _facts(finding.observed)
    return {"resource": finding.resource_id, "status": str(finding.status), "detail": detail[:300]}


def _facts(observed: Any) -> str:
    """What was found, in a line: `size 500 GiB, ssd yes`. Long texts are left out; secrets show themselves as such."""
    shown = [(f.name, show(getattr(observed, f.name))) for f in fields(observed)] if is_dataclass(observed) else []
    return ", ".join(f"{name} {text}" for name, text in shown if len(text) < 70 and "(secret)" not in text)


class CheckOutputOperator(LakeOperator):
    """See through S3 what a job committed: `_SUCCESS` of this run, and every file that it names.

    :param path: `s3a://bucket/prefix/`.
    :param conn_id: an aws connection.
    """

    def __init__(self, *, path: str, conn_id: str = "lake_s3", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path, self.conn_id = path, conn_id

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns the files with their sizes. Raises when one is missing, empty, or of an earlier run."""
        bucket, prefix = self.path.removeprefix("s3a://").split("/", 1)
        hook = S3Hook(aws_conn_id=self.conn_id)
        manifest = self._manifest(hook, bucket, prefix)
        began = context["dag_run"].start_date or datetime.min.replace(tzinfo=UTC)
        written = datetime.fromtimestamp(manifest["timestamp"] / 1000, UTC)
        if written < began:
            raise LakeError(
                "check",
                self.path,
                f"its _SUCCESS is of {written:%F %T} UTC, before this run began",
                "The job reported success and wrote nothing: look at its log",
            )
        named = [f.split(f"{bucket}/", 1)[-1].lstrip("/") for f in manifest["filenames"]]
        # Exactly what was committed is looked at: a listing would grow with what others put there.
        sizes = {k: (hook.head_object(k, bucket) or {}).get("ContentLength", 0) for k in named}
        if missing := [k for k in named if not sizes.get(k)]:
            raise LakeError(
                "check",
                self.path,
                f"_SUCCESS names {len(missing)} files that are not there or are empty ({missing[0]})",
                "Something removed them; run the job again",
            )
        if not any(k.endswith(".parquet") for k in named):
            raise LakeError("check", self.path, "the job committed no .parquet file", "Look at the job's log")
        self.log.info(
            "committed by %s at %s UTC:\n%s", manifest.get("committer"), f"{written:%F %T}", "\n".join(f"{sizes[k]:>10} B  s3a://{bucket}/{k}" for k in named)
        )
        return {"files": {k: sizes[k] for k in named}, "committer": manifest.get("committer"), "job": manifest.get("jobId")}

    def _manifest(self, hook: S3Hook, bucket: str, prefix: str) -> dict[str, Any]:
        key = f"{prefix.rstrip('/')}/_SUCCESS"
        if not hook.check_for_key(key, bucket):
            raise LakeError("check", self.path, "there is no _SUCCESS: no job has committed there", "Look at the job's log")
        text = hook.read_key(key, bucket)
        try:
            return dict(json.loads(text))
        except ValueError:
            raise LakeError("check", self.path, "_SUCCESS is not a committer's summary: the job did not use the S3A profile",
                            "Build its configuration with include.lake.s3a.s3a_profile") from None  # fmt: skip

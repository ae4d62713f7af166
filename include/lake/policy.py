"""What a user of the lake may do: the policy document of a role, and policies compared by what they say, not how.

Source: the S3 actions of the AWS IAM reference that MinIO supports, and what the S3A committers were seen to call.
"""

import json
from collections.abc import Iterable
from typing import Any

_LOCATION = ("s3:GetBucketLocation",)
_LIST = ("s3:ListBucket",)
_LIST_UPLOADS = ("s3:ListBucketMultipartUploads",)
_READ = ("s3:GetObject",)
_ADD = ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject")
_DELETE = ("s3:DeleteObject",)
# A user's access keys have all its rights, so it must not make more of them.
_DENIED = ("admin:CreateServiceAccount", "admin:UpdateServiceAccount", "admin:RemoveServiceAccount")
# What a magic committer leaves while a job runs: who may only append must still clear that away.
_STAGING = "__magic_job-*"


def policy_document(role: str, scopes: tuple[str, ...], *, probe: bool = False) -> dict[str, Any]:
    """The policy of a role on some scopes: `datalake` is the whole bucket, `datalake/raw/` what is below that prefix.

    With `probe` who may write may also delete single versions below `.homelake/`, so that a check leaves nothing behind.
    """
    adds, deletes = role != "read-only", role == "read-write"
    whole = tuple(s for s in scopes if "/" not in s)
    roots = [f"{s}/" if s in whole else s for s in scopes]  # where its keys begin
    statements = [
        *_on_buckets(whole, tuple(s for s in scopes if s not in whole), adds),
        _statement("Allow", _READ + (_ADD if adds else ()) + (_DELETE if deletes else ()), [f"{r}*" for r in roots]),
    ]
    if parents := sorted({p for s in scopes for p in _parents(s)}):
        statements.append(_statement("Allow", _READ, parents))
    if adds and not deletes:
        statements.append(_statement("Allow", _DELETE, [*(f"{r}*{_STAGING}" for r in roots), *(f"{r}.homelake/*" for r in roots if probe)]))
    if adds and probe:
        statements.append(_statement("Allow", ("s3:DeleteObjectVersion",), [f"{r}.homelake/*" for r in roots]))
    statements.append(_statement("Deny", _DENIED, ()))
    return {"Version": "2012-10-17", "Statement": statements}


def _on_buckets(whole: tuple[str, ...], below: tuple[str, ...], adds: bool) -> list[dict[str, Any]]:
    uploads = _LIST_UPLOADS if adds else ()
    statements = [_statement("Allow", _LOCATION + _LIST + uploads, whole)] if whole else []
    if not below:
        return statements
    # MinIO knows no condition of a prefix for the listing of uploads, and a committer needs it to clear up after a task that failed.
    statements.append(_statement("Allow", _LOCATION + uploads, sorted({s.partition("/")[0] for s in below})))
    for scope in below:
        bucket, _, prefix = scope.partition("/")
        # Its own prefix, and by name the folders above it: S3A looks whether each of them is there.
        seen = sorted({f"{prefix}*", *(f"{p.partition('/')[2]}/" for p in _parents(scope))})
        statements.append(_statement("Allow", _LIST, [bucket]) | {"Condition": {"StringLike": {"s3:prefix": seen}}})
    return statements


def _parents(scope: str) -> list[str]:
    """The folders above and at a prefix, as S3A asks for them: `datalake/raw/in/` gives `datalake/raw` and `datalake/raw/in`."""
    bucket, *folders = scope.rstrip("/").split("/")
    return ["/".join([bucket, *folders[: n + 1]]) for n in range(len(folders))]


def _statement(effect: str, actions: tuple[str, ...], places: Iterable[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"Effect": effect, "Action": sorted(actions)}
    return body | ({"Resource": sorted(f"arn:aws:s3:::{p}" for p in places)} if places else {})


def grants(document: dict[str, Any]) -> frozenset[str]:
    """What a policy document says, one grant a line: `Allow s3:GetObject on datalake/*`. Order and grouping do not count."""
    found: set[str] = set()
    for statement in _listed(document.get("Statement", ())):
        known = {"Effect", "Action", "Resource", "Sid"}
        rest = {k: _ordered(v) for k, v in statement.items() if k not in known and v}
        where = [str(r).removeprefix("arn:aws:s3:::") for r in _listed(statement.get("Resource") or ("",))]
        tail = f" if {json.dumps(rest, sort_keys=True)}" if rest else ""
        for action in _listed(statement.get("Action") or ("",)):
            found.update(f"{statement.get('Effect')} {action}{' on ' + r if r else ''}{tail}" for r in where)
    return frozenset(found)


def _ordered(value: Any) -> Any:
    """Lists sorted, and a single value as a list of one: MinIO gives conditions back in an order of its own."""
    if isinstance(value, dict):
        return {k: _ordered(v) for k, v in value.items()}
    return sorted(map(str, _listed(value)))


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)

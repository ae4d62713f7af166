"""What a user of the lake may do: the policy document of a role, and policies compared by what they say, not how.

Source: the S3 actions of the AWS IAM reference that MinIO supports, and what the S3A committers were seen to call.
"""

import json
from typing import Any

# What a job needs of a bucket, and of the objects in it.
_BUCKET = ("s3:GetBucketLocation", "s3:ListBucket")
_READ = ("s3:GetObject",)
_WRITE = ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListMultipartUploadParts", "s3:PutObject")
_WRITE_BUCKET = ("s3:ListBucketMultipartUploads",)
# A user's access keys have all its rights, so it must not make more of them.
_DENIED = ("admin:CreateServiceAccount", "admin:UpdateServiceAccount", "admin:RemoveServiceAccount")


def policy_document(role: str, buckets: tuple[str, ...], *, probe: bool = False) -> dict[str, Any]:
    """The policy of a role on some buckets.

    With `probe` it may also delete single versions below `.homelake/`, so that a check leaves nothing behind.
    """
    write = role == "read-write"
    whole = [f"arn:aws:s3:::{b}" for b in buckets]
    inside = [f"arn:aws:s3:::{b}/*" for b in buckets]
    statements = [
        _statement("Allow", _BUCKET + (_WRITE_BUCKET if write else ()), whole),
        _statement("Allow", _READ + (_WRITE if write else ()), inside),
        _statement("Deny", _DENIED, ()),
    ]
    if write and probe:
        probes = [f"arn:aws:s3:::{b}/.homelake/*" for b in buckets]
        statements.insert(2, _statement("Allow", ("s3:DeleteObjectVersion",), probes))
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(effect: str, actions: tuple[str, ...], resources: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"Effect": effect, "Action": sorted(actions)}
    return body | ({"Resource": sorted(resources)} if resources else {})


def grants(document: dict[str, Any]) -> frozenset[str]:
    """What a policy document says, one grant a line: `Allow s3:GetObject on datalake/*`. Order and grouping do not count."""
    found: set[str] = set()
    for statement in _listed(document.get("Statement", ())):
        known = {"Effect", "Action", "Resource", "Sid"}
        rest = {k: v for k, v in statement.items() if k not in known and v}
        where = [str(r).removeprefix("arn:aws:s3:::") for r in _listed(statement.get("Resource") or ("",))]
        tail = f" if {json.dumps(rest, sort_keys=True)}" if rest else ""
        for action in _listed(statement.get("Action") or ("",)):
            found.update(f"{statement.get('Effect')} {action}{' on ' + r if r else ''}{tail}" for r in where)
    return frozenset(found)


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)

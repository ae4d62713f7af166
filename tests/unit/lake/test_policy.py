"""What each role may do, by the document and by what the document grants."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.policy import grants, policy_document
from tests.unit.conftest import recorded

READ = {"Allow s3:GetBucketLocation on datalake", "Allow s3:ListBucket on datalake", "Allow s3:GetObject on datalake/*"}
WRITE = {"Allow s3:ListBucketMultipartUploads on datalake"} | {
    f"Allow s3:{a} on datalake/*" for a in ("AbortMultipartUpload", "DeleteObject", "ListMultipartUploadParts", "PutObject")
}
ADD = WRITE - {"Allow s3:DeleteObject on datalake/*"}
STAGING = {"Allow s3:DeleteObject on datalake/*__magic_job-*"}
DENY = {f"Deny admin:{a}ServiceAccount" for a in ("Create", "Update", "Remove")}
PROBE = {"Allow s3:DeleteObjectVersion on datalake/.homelake/*"}


@pytest.mark.parametrize(
    ("role", "probe", "expected"),
    [
        ("read-only", False, READ | DENY),
        ("read-only", True, READ | DENY),  # who cannot write leaves no probe behind
        ("read-write", False, READ | WRITE | DENY),
        ("read-write", True, READ | WRITE | DENY | PROBE),
        ("append-only", False, READ | ADD | DENY | STAGING),
        ("append-only", True, READ | ADD | DENY | STAGING | PROBE | {"Allow s3:DeleteObject on datalake/.homelake/*"}),
    ],
)
def test_a_role_grants_this_and_nothing_else(role: str, probe: bool, expected: set[str]) -> None:
    assert grants(policy_document(role, ("datalake",), probe=probe)) == expected


@given(
    st.lists(st.from_regex(r"[a-z0-9][a-z0-9.-]{1,20}[a-z0-9]", fullmatch=True), min_size=1, max_size=4, unique=True),
    st.sampled_from(["read-write", "read-only", "append-only"]),
    st.booleans(),
)
def test_nothing_outside_its_buckets_is_allowed(buckets: list[str], role: str, probe: bool) -> None:
    document = policy_document(role, tuple(buckets), probe=probe)
    for statement in document["Statement"]:
        assert not [a for a in statement["Action"] if "*" in a], "actions are named one by one"
        if statement["Effect"] == "Allow":
            assert statement["Resource"], "an Allow without a resource is an Allow on everything"
            for resource in statement["Resource"]:
                bucket, _, rest = resource.removeprefix("arn:aws:s3:::").partition("/")
                assert bucket in buckets
                assert rest in ("", "*", ".homelake/*", "*__magic_job-*")
    allowed = {a for s in document["Statement"] if s["Effect"] == "Allow" for a in s["Action"]}
    assert not [a for a in allowed if not a.startswith("s3:")], "no admin call"
    assert not allowed & {"s3:DeleteBucket", "s3:CreateBucket", "s3:PutBucketVersioning", "s3:BypassGovernanceRetention", "s3:PutBucketPolicy"}


def test_a_prefix_grants_what_is_below_it_and_that_its_folders_can_be_looked_for() -> None:
    listing = ' if {"Condition": {"StringLike": {"s3:prefix": ["raw/", "raw/in/", "raw/in/*"]}}}'
    assert grants(policy_document("append-only", ("datalake/raw/in/",))) == DENY | {
        "Allow s3:GetBucketLocation on datalake",
        f"Allow s3:ListBucket on datalake{listing}",
        "Allow s3:ListBucketMultipartUploads on datalake",
        "Allow s3:GetObject on datalake/raw/in/*",
        "Allow s3:GetObject on datalake/raw/in",
        "Allow s3:GetObject on datalake/raw",
        *(f"Allow s3:{a} on datalake/raw/in/*" for a in ("AbortMultipartUpload", "ListMultipartUploadParts", "PutObject")),
        "Allow s3:DeleteObject on datalake/raw/in/*__magic_job-*",
    }


def test_a_bucket_and_a_prefix_of_another_side_by_side() -> None:
    both = grants(policy_document("read-only", ("datalake", "archive/old/")))
    assert both >= READ | {"Allow s3:GetObject on archive/old/*"}
    assert not [g for g in both if g.startswith("Allow s3:ListBucket on archive") and "Condition" not in g]


def test_access_keys_of_its_own_are_denied_whatever_else_is_allowed() -> None:
    for role in ("read-write", "read-only", "append-only"):
        denied = [s for s in policy_document(role, ("datalake",))["Statement"] if s["Effect"] == "Deny"]
        assert denied == [{"Effect": "Deny", "Action": sorted(f"admin:{a}ServiceAccount" for a in ("Create", "Update", "Remove"))}]


def shuffled(document: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same rights, said otherwise: in another order, one action a statement, a single value without its list."""
    chance = random.Random(seed)
    statements = []
    for statement in document["Statement"]:
        actions = list(statement["Action"])
        chance.shuffle(actions)
        cut = chance.randint(0, len(actions))
        for part in filter(None, (actions[:cut], actions[cut:])):
            resources = list(statement.get("Resource", ()))
            chance.shuffle(resources)
            said: dict[str, Any] = {"Effect": statement["Effect"], "Action": part[0] if len(part) == 1 else part, "Sid": f"s{chance.random()}"}
            if resources:
                said["Resource"] = resources[0] if len(resources) == 1 else resources
            statements.append(said)
    chance.shuffle(statements)
    return {"Statement": statements, "ID": "someone's"}


@given(st.integers(), st.sampled_from([("datalake",), ("datalake", "archive")]), st.sampled_from(["read-write", "read-only"]))
def test_the_same_rights_said_otherwise_are_the_same(seed: int, buckets: tuple[str, ...], role: str) -> None:
    document = policy_document(role, buckets, probe=True)
    assert grants(shuffled(document, seed)) == grants(document)


def test_the_order_in_a_condition_does_not_count() -> None:
    document = policy_document("read-only", ("datalake/raw/",))
    listing = next(s for s in document["Statement"] if "Condition" in s)
    turned = {**listing, "Condition": {"StringLike": {"s3:prefix": listing["Condition"]["StringLike"]["s3:prefix"][::-1]}}}
    other = {**listing, "Condition": {"StringLike": {"s3:prefix": ["raw/*", "in/*"]}}}
    statements = [s for s in document["Statement"] if s is not listing]
    assert grants({"Statement": [*statements, turned]}) == grants(document)
    assert grants({"Statement": [*statements, other]}) != grants(document)


def test_what_minio_gives_back_is_what_it_was_given() -> None:
    answer = json.loads(recorded("minio/answers.json"))["policy_info"]["body"]
    assert grants(json.loads(answer)) == grants(policy_document("read-write", ("datalake",), probe=True))


@pytest.mark.parametrize(
    "more",
    [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*"},
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::other/*"]},
        {"Effect": "Allow", "NotAction": ["s3:DeleteBucket"], "Resource": ["arn:aws:s3:::datalake/*"]},
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::datalake/*"], "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
        {"Effect": "Deny", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::datalake/*"]},
        {"Effect": "Allow", "Action": ["admin:*"]},
    ],
    ids=["everything", "another bucket", "NotAction", "a condition", "a denial", "admin"],
)
def test_every_right_more_is_seen(more: dict[str, Any]) -> None:
    document = policy_document("read-write", ("datalake",))
    wider = {"Statement": [*document["Statement"], more]}
    assert grants(wider) > grants(document)


def test_an_empty_document_grants_nothing() -> None:
    assert grants({}) == grants({"Statement": []}) == frozenset()

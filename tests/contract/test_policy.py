"""The contract of PolicyClient."""

from typing import Any

import pytest

from include.lake.errors import LakeError
from include.lake.policy import grants, policy_document
from include.lake.resource import ensure, plan
from include.lake.resources.policy import Policy, PolicyState
from tests.contract.minio import Fake, Real, Rig

__all__ = ["Fake", "Real"]  # for the fixture `rig`
DOCUMENT = policy_document("read-write", ("contract-bucket",), probe=True)
# The same, otherwise put: MinIO keeps actions in its own order.
TURNED = {"Version": DOCUMENT["Version"], "Statement": [{k: v[::-1] if isinstance(v, list) else v for k, v in s.items()} for s in DOCUMENT["Statement"][::-1]]}
MORE = {"Version": DOCUMENT["Version"], "Statement": [*DOCUMENT["Statement"], {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]}
LESS = {"Version": DOCUMENT["Version"], "Statement": DOCUMENT["Statement"][:1]}


def granted(rig: Rig) -> frozenset[str]:
    document = rig.client.policy(rig.name)
    assert document is not None
    return grants(document)


def test_a_policy_is_what_was_put_last(rig: Rig) -> None:
    assert rig.client.policy(rig.name) is None
    for document in (LESS, LESS, MORE, DOCUMENT, TURNED):
        rig.client.put_policy(rig.name, document)
        assert granted(rig) == grants(document)
    assert granted(rig) == grants(DOCUMENT)


@pytest.mark.parametrize("document", [{}, {"Version": "2012-10-17", "Statement": []}], ids=["nothing", "no statement"])
def test_a_document_that_says_nothing_is_not_taken(rig: Rig, document: dict[str, Any]) -> None:
    with pytest.raises(LakeError):
        rig.client.put_policy(rig.name, document)
    assert rig.client.policy(rig.name) is None
    rig.client.put_policy(rig.name, LESS)
    with pytest.raises(LakeError):
        rig.client.put_policy(rig.name, document)
    assert granted(rig) == grants(LESS)


@pytest.mark.parametrize(("start", "changes"), [(None, True), (LESS, True), (MORE, True), (TURNED, False)], ids=["nothing", "less", "more", "turned"])
def test_the_law_holds(rig: Rig, start: dict[str, Any] | None, changes: bool) -> None:
    resource = Policy(rig.name, "service/minio", DOCUMENT, PolicyState(grants(DOCUMENT)))
    if start:
        rig.client.put_policy(rig.name, start)
    assert bool(ensure(resource, rig.client).plan) is changes
    todo, state = plan(resource, rig.client)
    assert (todo.changes, state) == ((), resource.desired)

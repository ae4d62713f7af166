"""Both sides of every contract: the in-memory fake, and the real adapter on the lab's parts. The same tests run on both.

A suite has a fixture `rig` for each side: the client under test, and the same ways to put the part into a state by hand. A real rig works
beside the lake, whatever state that is in, on things of its own, and takes them away again.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.adapters.clients import Clients
from include.connections import Connection, NotConfigured
from include.lake.errors import LakeError
from include.settings import connections
from tests.conftest import TestLab
from tests.contract.programs import Programs, build
from tests.contract.real import Disk, Parts


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.lab)])
def side(request: pytest.FixtureRequest) -> str:
    """`fake` or `real`. The lab is asked for only when it is real, so that the fakes need none."""
    return str(request.param)


@pytest.fixture(scope="package")
def parts(lab: TestLab) -> Iterator[Parts]:
    """The real parts."""
    known, further = connections(lab), dict[str, Callable[[], Connection]]()

    def find(conn_id: str) -> Connection:
        if conn_id in further:
            return further[conn_id]()
        if conn_id not in known:
            raise NotConfigured("find", f"the connection {conn_id!r}", "it is not configured")
        return known[conn_id]

    made = Parts(lab, Clients(find), further)
    yield made
    made.clients.close()


@pytest.fixture(scope="package")
def disk(parts: Parts) -> Iterator[Disk]:
    """A second disk in the lab's VM, hot-plugged once and taken away at the end, with whatever a killed run left."""
    made = Disk(parts)
    made.clear()
    made.plug()
    yield made
    made.clear()


@pytest.fixture(scope="package")
def programs(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The real parts, and real programs for the VM."""
    return Programs(parts, build(tmp_path_factory.mktemp("programs")))


@pytest.fixture(scope="module")
def with_minio(parts: Parts) -> Parts:
    """The real parts, MinIO among them: the lake is made when the lab has none."""
    try:
        parts.clients.minio.bucket_names()
    except LakeError:
        parts.lab.lake("apply", "--yes")
        parts.clients.minio.bucket_names()
    return parts


@pytest.fixture(scope="module")
def with_lake(parts: Parts) -> Parts:
    """The real parts, with the lake as declared: made when it is not."""
    if parts.lab.lake("plan", check=False).returncode != 0:
        parts.lab.lake("apply", "--yes")
    return parts


@pytest.fixture(scope="module")
def rig(side: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The side's rig: the module's `Fake`, or its `Real`, which gets the fixture that it `needs`."""
    kind = getattr(request.module, side.capitalize())
    made = kind() if side == "fake" else kind(request.getfixturevalue(kind.needs))
    yield made
    try:
        made.clear()
    finally:
        made.close()


@pytest.fixture(autouse=True)
def blank(request: pytest.FixtureRequest) -> None:
    """Every test of a rig starts without anything that another left."""
    if "rig" in request.fixturenames:
        request.getfixturevalue("rig").clear()


# An emulated VM takes a second for a command: the real side of these is for make test-long. tests/e2e works the same adapters in every run.
SLOW = {"test_account", "test_binary", "test_filesystem", "test_mount", "test_notes", "test_service"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the real side of the guest's suites `long`."""
    for item in items:
        params = getattr(item, "callspec", None)
        if params and params.params.get("side") == "real" and item.path.stem in SLOW and item.path.parent.name == "contract":
            item.add_marker(pytest.mark.long)

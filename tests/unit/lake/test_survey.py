"""The plan of many resources: what cannot be known yet, what cannot be reached, what is refused."""

import json
from typing import Any

import pytest

from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.lake import load_lake
from include.lake.survey import Finding, Status, survey
from tests.fakes.site import FakeSite
from tests.unit.lake.toys import Lamp, Switch

ON = Lamp(on=True)


def look(*lamps: tuple[str, dict[str, Any], tuple[str, ...]], desired: Lamp | None = ON) -> list[Finding]:
    """A survey of lamps, each with its own client."""
    houses = {name: client for name, client, _ in lamps}
    resources = [type(f"At_{name}", (Switch,), {"part": name})(name, desired, needs) for name, _, needs in lamps]
    return survey(resources, lambda part: houses[part])


def statuses(findings: list[Finding]) -> list[Status]:
    return [f.status for f in findings]


def test_one_part_out_of_reach_hides_nothing_of_the_others() -> None:
    gone = Unreachable("the attic", "the ladder is away", "Bring it")
    findings = look(("attic", {"raise": gone}, ()), ("hall", {"lamp": Lamp(on=False)}, ()), ("cellar", {"lamp": ON}, ()), ("shed", {"lamp": ON}, ("attic",)))
    assert statuses(findings) == [Status.UNREACHABLE, Status.CHANGES, Status.OK, Status.OK]
    assert findings[0].error is gone
    assert not findings[0].plan


def test_what_needs_something_absent_is_known_after_apply_and_so_is_what_needs_that() -> None:
    clients = [{"lamp": None}, {"lamp": ON}, {"lamp": ON}, {"lamp": ON}]
    findings = look(("a", clients[0], ()), ("b", clients[1], ("a",)), ("c", clients[2], ("b",)), ("d", clients[3], ()))
    assert statuses(findings) == [Status.CHANGES, Status.LATER, Status.LATER, Status.OK]
    assert [c.get("looks", 0) for c in clients] == [1, 0, 0, 1], "what cannot be known is not looked at"


def test_what_is_there_and_of_no_use_makes_its_dependants_wait() -> None:
    findings = look(("a", {"lamp": Lamp(on=False)}, ()), ("b", {"lamp": ON}, ("a",)))
    assert statuses(findings) == [Status.CHANGES, Status.LATER]


def test_what_differs_and_is_of_use_does_not() -> None:
    findings = look(("a", {"lamp": Lamp(True, "blue")}, ()), ("b", {"lamp": Lamp(True, "red")}, ("a",)), desired=Lamp(True, "red"))
    assert statuses(findings) == [Status.CHANGES, Status.OK]


def test_a_refusal_is_told_and_stops_its_dependants_only() -> None:
    findings = look(("a", {"raise": Refused("light", "a", "it is not yours")}, ()), ("b", {"lamp": ON}, ("a",)), ("c", {"lamp": ON}, ()))
    assert statuses(findings) == [Status.REFUSED, Status.LATER, Status.OK]
    assert str(findings[0].error) == "Unable to light a: it is not yours."


def test_what_waits_for_a_restart_is_pending() -> None:
    (finding,) = look(("a", {"lamp": Lamp(True, "blue"), "pending": {"colour": "red"}}, ()), desired=Lamp(True, "red"))
    assert finding.status is Status.PENDING


def test_what_is_declared_absent_and_is_absent_is_ok() -> None:
    assert statuses(look(("a", {"lamp": None}, ()), ("b", {"lamp": None}, ("a",)), desired=None)) == [Status.OK, Status.OK]


def test_a_client_that_cannot_be_had_is_told_for_each_resource() -> None:
    def clients(part: str) -> Any:
        raise LakeError("find", f"the connection {part!r}", "it is not configured", "Configure it")

    findings = survey([Switch(desired=ON), Switch("lamp/two", ON)], clients)
    assert statuses(findings) == [Status.REFUSED, Status.REFUSED]
    assert "it is not configured" in str(findings[1].error)


def test_an_error_of_the_code_itself_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        look(("a", {"raise": ZeroDivisionError()}, ()))


def test_a_fresh_site_shows_the_whole_plan() -> None:
    lake, site = load_lake(), FakeSite()
    del site.host.disks["scsi1"]
    findings = {f.resource_id: f for f in survey(lake.resources(), site)}
    later = {i for i, f in findings.items() if f.status is Status.LATER}
    assert later == {"filesystem/scsi1", "mount/mnt/minio_data", "account/minio-user", "service/minio", "bucket/datalake", "policy/spark-user",
                     "user/spark-user", "service-account/spark-jobs/spark-sa", "keypair/spark-user"}  # fmt: skip
    assert {i: f.plan.action for i, f in findings.items() if i not in later} == {
        "vm-disk/100/scsi1": "create",
        "binary/minio": "create",
        "namespace/spark-jobs": "create",
    }
    assert set(findings) == {r.id for r in lake.resources()}


def test_a_finding_is_json_with_its_error() -> None:
    findings = look(("a", {"raise": Unreachable("the attic", "no ladder")}, ()), ("b", {"lamp": None}, ()))
    rows = json.loads(json.dumps([f.as_dict() for f in findings]))
    assert (rows[0]["status"], rows[0]["error"], rows[0]["changes"]) == ("unreachable", "Unable to reach the attic: no ladder.", [])
    assert (rows[1]["status"], rows[1]["error"], rows[1]["action"]) == ("changes", None, "create")

"""What the documentation shows as examples works, and what it shows as output is what the program prints."""

import ast
import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.adapters.host.account import Accounts
from include.adapters.host.ssh import Result
from include.adapters.preflight import _variables
from include.commands.remove import _plan as removal_plan
from include.connections import Connection
from include.lake.errors import LakeError
from include.lake.lake import Lake, build_lake, load_lake
from include.lake.remove import look, scope
from include.lake.resource import ensure
from include.lake.resources.binary import Source
from include.lake.s3a import PREFIX, problems, s3a_profile
from include.lake.spark import Job, Where, application
from include.lake.spec import LakeSpec
from include.lake.survey import survey
from include.render import lines_of, summary
from include.settings import ROOT
from tests.fakes.guest import AGPL, ELF, FakeGuest
from tests.fakes.kafka import FakeKafka
from tests.fakes.kubernetes import FakeKeyPairs, FakeKubernetes
from tests.fakes.minio import FakeMinio
from tests.fakes.proxmox import FakeProxmox
from tests.unit.test_docs import DOCS, blocks, each_page

ARM = ELF[:18] + b"\xb7" + ELF[19:]
PROGRAM = "/srv/programs/minio"


def merged(base: Any, over: Any) -> Any:
    """A part of a declaration laid over a whole one. Of a binary's sources there is one."""
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    return {**base, **{k: v if k == "binary" else merged(base.get(k), v) for k, v in over.items()}}


def declared(part: str) -> Lake:
    return build_lake(LakeSpec.model_validate(merged(yaml.safe_load((ROOT / "include/lake.yaml").read_text()), yaml.safe_load(part))))


@each_page
def test_every_piece_of_declaration_is_valid(page: Path) -> None:
    for block in blocks(page, "yaml"):
        declared(block)


def test_the_shortest_declaration_is_whole() -> None:
    LakeSpec.model_validate(yaml.safe_load(blocks(DOCS / "reference/lake-yaml.md", "yaml")[0]))


@pytest.fixture(autouse=True)
def airflow_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Airflow writes into its home as soon as it is imported."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))


@each_page
def test_every_piece_of_python_names_what_is_there(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("pyspark"):  # which is in the image only
                module = importlib.import_module(node.module)
                assert not [a.name for a in node.names if not hasattr(module, a.name)], node.module


def test_the_dag_of_the_example_is_one() -> None:
    """Airflow itself takes it: every argument of the operators is known."""
    names: dict[str, Any] = {}
    exec(compile(blocks(DOCS / "how-to/use-from-a-job.md", "python")[1], "daily_totals.py", "exec"), names)
    assert names["dag"].task_ids == ["totals", "check"]


class Parts:
    """The clients of a lake in memory, made as declared."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.proxmox, self.host, self.minio, self.kubernetes = lake, FakeProxmox(), FakeGuest(), FakeMinio(), FakeKubernetes()
        self.keypair, self.kafka = FakeKeyPairs(self.kubernetes, self.minio), FakeKafka()
        self.host.sources[str(lake.minio_binary.source)] = ("ab" * 32, ELF, AGPL)

    def __call__(self, part: str) -> Any:
        return getattr(self, part)

    def converge(self) -> "Parts":
        for resource in self.lake.resources():
            ensure(resource, self(resource.part))
        return self

    def plan(self, lake: Lake) -> str:
        """What `./lake plan` prints."""
        findings = survey(lake.resources(), self)
        return "\n".join([*(line for f in findings for line in lines_of(f)), summary(findings)])


def outputs(page: str) -> str:
    return "\n".join(blocks(DOCS / page, "text"))


def test_the_plan_of_a_new_lake() -> None:
    assert Parts(load_lake()).plan(load_lake()) in outputs("explanation/resources.md")


def test_the_plans_of_the_tutorial() -> None:
    parts = Parts(load_lake()).converge()
    assert parts.plan(load_lake()) in outputs("tutorial.md")
    assert parts.plan(declared(blocks(DOCS / "tutorial.md", "yaml")[0])) in outputs("tutorial.md")


def test_growing_the_disk() -> None:
    page = "how-to/grow-the-disk.md"
    larger, parts = declared(blocks(DOCS / page, "yaml")[0]), Parts(load_lake()).converge()
    assert parts.plan(larger) in outputs(page)
    ensure(larger.vm_disk, parts.proxmox)
    assert message(lambda: ensure(load_lake().vm_disk, parts.proxmox)) in outputs(page)


# Messages


def message(call: Any) -> str:
    with pytest.raises(LakeError) as error:
        call()
    return str(error.value)


def refusal(head: bytes, said: str) -> str:
    """What installing a program ends with."""
    guest = FakeGuest()
    guest.sources[PROGRAM] = ("cd" * 32, head, said)
    return message(lambda: ensure(replace(load_lake().minio_binary, source=Source(file=PROGRAM)), guest))


@pytest.mark.parametrize(("head", "said", "pages"), [
    (ARM, AGPL, ("errors", "minio-binary")),
    (ELF, "minio version RELEASE\nLicense: MinIO AIStor License", ("errors", "minio-binary")),
    (b"<!doctype html>", "", ("minio-binary",)),
], ids=["machine", "edition", "no program"])  # fmt: skip
def test_refused_programs(head: bytes, said: str, pages: tuple[str, ...]) -> None:
    for page in pages:
        assert refusal(head, said) in outputs(f"how-to/{page}.md")


@pytest.mark.parametrize("change", [{"endpoint.region": "us-east-1"}, {"signing-algorithm": "S3SignerType"}], ids=str)
def test_refused_settings(change: dict[str, str]) -> None:
    endpoint, region = "http://datalake:9000", "ap-northeast-2"
    conf = s3a_profile(endpoint, region) | {PREFIX + k: v for k, v in change.items()}
    assert next("- " + p for p in problems(conf, endpoint, region)) in outputs("how-to/errors.md")


def test_refused_variables() -> None:
    body = application(Job("job.py"), Where("spark-jobs", "spark-sa", "image", "minio-s3-keys", "access-key", "secret-key"), {})
    body["spec"]["driver"]["env"][0]["name"] = "ACCESS_KEY"
    assert f"- {next(iter(_variables(body)))}" in outputs("how-to/errors.md")


# Adopting, removing


def test_the_plan_of_a_removal() -> None:
    parts = Parts(load_lake()).converge()
    assert "\n".join(removal_plan(load_lake(), look(load_lake(), scope(load_lake(), ()), parts))) in outputs("how-to/remove.md")


def test_refused_removal() -> None:
    parts = Parts(load_lake()).converge()
    parts.minio.locked["datalake"] = "rows.parquet: compliance until 2030-01-01T00:00:00Z"
    gone = replace(load_lake().buckets[0], desired=None)
    assert message(lambda: ensure(gone, parts.minio, force={gone.id})) in outputs("how-to/remove.md")


def test_refused_adoptions() -> None:
    account = load_lake().account
    said = Result(0, "content=minio\n", "")
    accounts = Accounts(Connection("lake_host", "ssh"))
    accounts.run = lambda *args, **options: said  # type: ignore[method-assign]
    assert message(lambda: accounts.account(account.name, account.data_dir)) in outputs("how-to/adopt.md")
    parts = Parts(load_lake()).converge()
    service = parts.host.services["minio"]
    lines = tuple(line.replace("=/mnt/minio_data", "=/mnt/minio_data/store") for line in service.environment or ())
    parts.host.services["minio"] = replace(service, environment=lines)
    assert message(lambda: ensure(load_lake().minio_service, parts.host)) in outputs("how-to/adopt.md")


def test_the_declaration_that_adopts_a_filesystem() -> None:
    lake = declared(blocks(DOCS / "how-to/adopt.md", "yaml")[0])
    assert lake.filesystem.desired is not None
    assert (lake.filesystem.desired.uuid, lake.filesystem.desired.label, lake.filesystem.made) == ("0b5e0f5c-3c1f-4b7e-9d52-5f0a6a5b1c11", None, "")
    assert lake.mount.desired is not None
    assert lake.mount.desired.uuid == lake.mount.uuid == lake.filesystem.desired.uuid

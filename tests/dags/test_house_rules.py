"""The rules of the house, for every file in dags/."""

import ast
import copy
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.exceptions import ParamValidationError
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from include.declare import unmarked
from include.lake.lake import Lake, load_lake
from include.lake.resource import Resource
from include.lake.secret import Secret, SecretRef
from include.lake.spec import LAKE_FILE, LakeSpec
from include.settings import pools_and_variables
from tests.dags.conftest import HOME, MARK, READING, ROOT, STREAMING, Reading

FILES = sorted((ROOT / "dags").glob("*.py"))
DAGS: list[DAG] = [d for _, d in sorted((STREAMING.bag.dags | READING.bag.dags).items())]
GUARD = "lake.spec.payments"  # a DAG below it is there only when payments are declared
each_dag = pytest.mark.parametrize("dag", DAGS, ids=lambda d: d.dag_id)
each_file = pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)


def tasks(dag: DAG) -> Iterator[Any]:
    yield from dag.tasks


# Reading them


def test_all_are_read_without_an_error(reading: Reading) -> None:
    assert reading.bag.import_errors == STREAMING.bag.import_errors == {}
    assert sorted(STREAMING.bag.dags) == sorted(f.stem for f in FILES), "one DAG a file, of its file's name"
    guarded = {f.stem for f in FILES if any(isinstance(s, ast.If) for s in ast.parse(f.read_text()).body)}
    assert sorted(reading.bag.dags) == sorted(STREAMING.bag.dags.keys() - guarded), "without payments there are none of theirs"


def test_reading_them_reaches_for_nothing_outside(reading: Reading) -> None:
    assert reading.tried == STREAMING.tried == []


def test_reading_them_needs_no_database() -> None:
    assert not list(Path(HOME.name).rglob("*.db"))


def test_reading_them_is_quick(reading: Reading) -> None:
    assert reading.first < 10, "processor seconds, with every provider imported for the first time"
    assert reading.again < 0.25 * len(FILES), "and what the scheduler pays each time"


@each_file
def test_a_file_reads_like_a_table_of_contents(file: Path) -> None:
    module = ast.parse(file.read_text())
    assert ast.get_docstring(module)
    module.body = [inner for s in module.body for inner in (s.body if isinstance(s, ast.If) and ast.unparse(s.test) == GUARD and not s.orelse else [s])]
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.With, ast.Expr)
    assert not [ast.unparse(s) for s in module.body if not isinstance(s, allowed)], "no logic at the top"
    blocks = [s for s in module.body if isinstance(s, ast.With)]
    assert [ast.unparse(b.items[0].context_expr.func) for b in blocks if isinstance(b.items[0].context_expr, ast.Call)] == ["DAG"], "one DAG"
    outside = [s for s in module.body if isinstance(s, (ast.Assign, ast.Expr))][1:]
    calls = {ast.unparse(c.func) for s in outside for c in ast.walk(s) if isinstance(c, ast.Call)}
    assert calls <= {"load_lake"}, "no work at the top"
    assert len(file.read_text().splitlines()) <= 80


@each_file
def test_a_file_imports_airflow_the_project_and_dates_only(file: Path) -> None:
    names = {n.split(".")[0] for s in ast.walk(ast.parse(file.read_text())) for n in ([a.name for a in s.names] if isinstance(s, ast.Import) else [s.module or ""] if isinstance(s, ast.ImportFrom) else [])}  # fmt: skip
    assert names <= {"airflow", "include", "datetime"}


# What each DAG says of itself


@each_dag
def test_a_dag_explains_itself(dag: DAG) -> None:
    assert dag.description
    assert len(dag.description) < 120
    assert dag.doc_md
    assert dag.doc_md.strip() == ast.get_docstring(ast.parse(Path(dag.fileloc).read_text()))
    assert "homelake" in dag.tags
    assert len(dag.tags) > 1


@each_dag
def test_a_dag_runs_once_at_a_time_and_makes_up_for_nothing(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.start_date is not None
    assert dag.start_date.isoformat() == "2026-01-01T00:00:00+00:00", "fixed: a moving one never runs"


@each_dag
def test_every_task_has_an_owner_and_is_tried_again(dag: DAG) -> None:
    for task in tasks(dag):
        assert task.owner == "homelake", task.task_id
        assert task.retries >= 1, task.task_id
        assert 5 <= task.retry_delay.total_seconds() <= 300, task.task_id


@each_dag
def test_every_param_explains_itself(dag: DAG) -> None:
    for name in dag.params:
        schema = dag.params.get_param(name)
        assert schema.description, name
        assert schema.schema.get("title"), name


# What is rendered, stored and shown


@each_dag
def test_templates_never_hold_a_resource_or_a_declaration(dag: DAG) -> None:
    for task in tasks(dag):
        for field in task.template_fields:
            assert field not in ("ensures", "lake", "_lake", "key_pair", "resource", "resources", "digest"), task.task_id
            for part in _parts(getattr(task, field)):
                assert not isinstance(part, (Resource, Lake, LakeSpec, Secret, SecretRef)), f"{task.task_id}.{field}"


def _parts(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set, frozenset)) else ()
    for child in children:
        yield from _parts(child)


@each_dag
def test_a_dag_survives_being_stored_and_read_again(dag: DAG) -> None:
    stored = DagSerialization.to_dict(dag)
    text = json.dumps(stored)
    DagSerialization.validate_schema(stored)
    back = DagSerialization.from_dict(json.loads(text))
    assert {t.task_id: set(t.downstream_task_ids) for t in back.tasks} == {t.task_id: set(t.downstream_task_ids) for t in dag.tasks}
    assert {t.task_id: (t.owner, t.retries, t.pool) for t in back.tasks} == {t.task_id: (t.owner, t.retries, t.pool) for t in dag.tasks}
    assert (back.max_active_runs, back.catchup, set(back.tags), back.doc_md) == (1, False, set(dag.tags), dag.doc_md)
    assert back.params.dump() == dag.params.dump()


@each_dag
def test_what_is_stored_holds_no_secret_and_no_repr_of_the_lake(dag: DAG) -> None:
    text = json.dumps(DagSerialization.to_dict(dag))
    assert MARK not in text
    for name in ("SecretRef(", "LakeSpec(", "Lake(", "VmDisk(", "KeyPair(", "(secret)", "password"):
        assert name not in text, name


# Pools


def test_who_changes_the_lake_stands_in_one_row() -> None:
    from include.operators.ensure import EnsureOperator

    writers = [t for d in DAGS for t in tasks(d) if isinstance(t, EnsureOperator)]
    assert writers
    assert {t.pool for t in writers} == {"lake_writers"}
    pools = {p["name"]: p["slots"] for p in pools_and_variables()[0]}
    assert pools["lake_writers"] == 1
    assert {t.pool for d in DAGS for t in tasks(d)} <= {*pools, "default_pool"}


# A declaration with mistakes


def test_a_mistake_in_the_declaration_is_one_short_import_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    content = yaml.safe_load(LAKE_FILE.read_text())
    content["buckets"][0]["quota"] = "100 GB"
    content["nmae"] = content.pop("name")
    broken = tmp_path / "lake.yaml"
    broken.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("HOMELAKE_FILE", str(broken))
    bag = DagBag(str(ROOT / "dags"))
    assert not bag.dags
    assert len(bag.import_errors) == len(FILES)
    for text in bag.import_errors.values():
        lines = text.strip().splitlines()
        assert lines[-4:] == [
            f"include.lake.errors.SpecError: Unable to read {broken}: 3 problems",
            "  name: missing. Add it.",
            "  buckets[0].quota: unknown unit 'GB'; known are B, KiB, MiB, GiB, TiB, PiB; for binary units write GiB.",
            "  nmae: unknown key. Did you mean 'name'?",
        ]
        assert len(lines) <= 12
        assert "pydantic" not in text
        assert "site-packages" not in text


def test_another_declaration_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    content = yaml.safe_load(LAKE_FILE.read_text())
    content["spark"]["schedule"] = None
    content["vm"]["vmid"] = 777
    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("HOMELAKE_FILE", str(file))
    bag = DagBag(str(ROOT / "dags"))
    assert bag.import_errors == {}
    assert bag.dags["lake_spark"].schedule is None
    assert bag.dags["lake_bootstrap"].get_task("vm_disk").ensures[0].id == "vm-disk/777/scsi1"


# The DAGs by name


def test_the_bootstraps_tasks_stand_in_the_order_in_which_the_lake_is_made(reading: Reading) -> None:
    dag = reading.bag.dags["lake_bootstrap"]
    order = ["declaration", "vm_disk", "filesystem", "mount", "account", "minio_binary", "minio_service", "governance", "iam",
             "kubernetes.namespace", "kubernetes.service_account", "kubernetes.secret", "verify"]  # fmt: skip
    assert [t.task_id for t in dag.topological_sort()] == order
    for before, after in pairwise(order):
        assert after in dag.get_task(before).downstream_task_ids
    assert dag.schedule is None, "it runs when someone says so"


def test_the_bootstrap_ensures_every_resource_of_the_lake_each_once(reading: Reading) -> None:
    dag = reading.bag.dags["lake_bootstrap"]
    ensured = [r.id for t in dag.topological_sort() for r in getattr(t, "ensures", ())]
    assert ensured == [r.id for r in load_lake().resources()]


def test_the_bootstrap_takes_check_and_force(reading: Reading) -> None:
    dag = reading.bag.dags["lake_bootstrap"]
    assert dag.params.dump() == {"check": False, "force": None}
    assert dag.params.get_param("check").schema["type"] == "boolean"
    assert dag.params.get_param("force").schema == {"type": ["null", "array"], "items": {"type": "string"}, "title": "Force"}
    for name, value in (("check", "perhaps"), ("force", "bucket/datalake"), ("force", [1])):
        with pytest.raises(ParamValidationError):
            copy.deepcopy(dag.params)[name] = value


def test_every_task_of_a_bootstrap_refuses_another_declaration(reading: Reading) -> None:
    digest = load_lake().spec.digest()
    assert {t.digest for t in reading.bag.dags["lake_bootstrap"].tasks} == {digest}


def test_the_spark_dag_observes_runs_and_looks_at_what_was_written(reading: Reading) -> None:
    dag, spec = reading.bag.dags["lake_spark"], load_lake().spec
    assert [t.task_id for t in dag.topological_sort()] == ["observe", "spark_job", "check_output"]
    assert dag.schedule == spec.spark.schedule
    assert dag.get_task("spark_job").arguments[:2] == ["--output", spec.spark.output]
    assert dag.get_task("check_output").path == spec.spark.output
    assert dag.params.get_param("mode").schema["enum"] == ["overwrite", "append"]


def test_the_stream_is_looked_after_and_can_be_ended() -> None:
    dag = STREAMING.bag.dags["payments_stream"]
    assert (dag.schedule, dag.params.dump()) == ("*/10 * * * *", {"action": "run"})
    assert dag.params.get_param("action").schema["enum"] == ["run", "stop"]
    assert STREAMING.bag.dags["payments_micro_batch"].schedule is None


def test_micro_batches_by_schedule_take_the_streams_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    content = yaml.safe_load(unmarked(LAKE_FILE.read_text()))
    content["payments"]["micro_batch"] = "*/30 * * * *"
    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("HOMELAKE_FILE", str(file))
    bag = DagBag(str(ROOT / "dags"))
    assert bag.import_errors == {}
    assert (bag.dags["payments_micro_batch"].schedule, bag.dags["payments_stream"].schedule) == ("*/30 * * * *", None)

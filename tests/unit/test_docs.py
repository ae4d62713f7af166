"""What the documentation names is there: links, pages, commands, options, keys with their defaults, connections, tasks, calls."""

import argparse
import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import lab.cli
import lab.pve
from include import arguments, cli
from include.facts import KEYS, parse_facts
from include.lake.spec import LakeSpec
from include.lake.units import Percent, Seconds, Size
from include.settings import ROOT, SETTINGS, connections
from lab.k8s.build import OPERATOR
from lab.pve.server import ROUTES
from lab.site import Lab

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    return [m[3] for m in FENCE.finditer(page.read_text()) if m[2] == language]


def rows(page: str) -> Iterator[list[str]]:
    """The cells of every table row of a page, without heads."""
    for line in (DOCS / page).read_text().splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            yield [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]


def code(cell: str) -> str:
    return cell.strip("`")


# Links and commands


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), f"{target} leads out of the project"
        assert there.is_file(), f"{target} is not there"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def test_every_page_that_the_code_names_is_there() -> None:
    files = [p for d in ("include", "lab", "dags", "jobs", "bench", "plugins") for s in ("*.py", "*.yaml", "*.sh", "Dockerfile") for p in (ROOT / d).rglob(s)]
    named = {(f, name) for f in [*files, ROOT / "Makefile", ROOT / "lake", SETTINGS] for name in re.findall(r"docs/[\w/.-]+\.\w+", f.read_text())}
    assert len(named) > 5
    assert [f"{f.relative_to(ROOT)}: {name}" for f, name in sorted(named) if not (ROOT / name).is_file()] == []


def shown(page: Path) -> Iterator[str]:
    """Lines of shell: those of its blocks, and what stands in the text as code."""
    for block in (b for language in ("bash", "sh") for b in blocks(page, language)):
        yield from block.replace("\\\n", " ").splitlines()
    yield from (m for m in re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text())) if "…" not in m and re.search(r"(^|\W)(\./lake|make) ", m))


def commands(page: Path) -> Iterator[list[str]]:
    """Every `./lake …` and `make …` that a page shows, as words; redirections and what follows them left out."""
    for line in (part for whole in shown(page) for part in (re.sub(r"\$\([^()]*\)", "X", whole), *re.findall(r"\$\(([^()]*)\)", whole))):
        if not re.search(r"\./lake|\bmake\b", line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.commenters = "#"
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("();<>|&"):
                while command and (command[0] == "sudo" or re.match(r"\w+=", command[0])):
                    command = command[1:]
                if command and command[0] in ("./lake", "make"):
                    yield command
                command = []
            else:
                command.append(word)


def test_commands_are_found_in_pages() -> None:
    found = {" ".join(w) for page in ("tutorial.md", "how-to/real-site.md", "how-to/lab.md") for w in commands(DOCS / page)}
    assert found >= {"make demo", "./lake plan", "./lake connections", "./lake lab env", "./lake lab ssh sudo systemctl stop minio",
                     "./lake airflow dags test lake_bootstrap"}  # fmt: skip


@each_page
def test_every_command_shown_exists(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    monkeypatch.setattr(lab.cli, "COMMANDS", {n: (lambda args: 0, text) for n, (_, text) in lab.cli.COMMANDS.items()})
    dags = {d for p in (ROOT / "dags").glob("*.py") for d in re.findall(r'dag_id="(\w+)"', p.read_text())}
    for program, *words in commands(page):
        try:
            if program == "make":
                assert set(words) <= targets, f"make {' '.join(words)}: no such target"
            elif words[:1] == ["lab"] and words[1:]:
                assert lab.cli.main(words[1:]) == 0
            elif words[:2] == ["airflow", "dags"] and words[2] == "test":
                assert words[3] in dags, f"no DAG {words[3]}"
            elif words and words[0] not in ("airflow", "lab"):
                arguments.parser().parse_args(words)
        except SystemExit as end:
            assert end.code == 0, f"not accepted: {program} {' '.join(words)}"


def test_the_spark_operator_that_is_to_be_installed_is_the_labs() -> None:
    for place in (DOCS / "how-to/real-site.md", ROOT / "include/adapters/preflight.py"):
        assert re.findall(r"helm install .*--version (\S+)", place.read_text()) == [OPERATOR], place


# The command line


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(dict(a.choices) for a in parser._actions if isinstance(a, argparse._SubParsersAction))


def help_of(run: Any, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        run()
    return set(re.findall(r"--[a-z][a-z0-9-]+", capsys.readouterr().out)) - {"--help"}


def test_the_command_line_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "reference/cli.md").read_text()
    sections = dict(re.findall(r"^### `\./lake ((?:lab )?[a-z]+)[^\n]*\n(.*?)(?=^##)", text, re.M | re.S))
    own = {n: help_of(lambda n=n: cli.main([n, "--help"]), capsys) for n in subcommands(arguments.parser()) if n not in ("lab", "airflow")}
    theirs = {f"lab {n}": help_of(lambda n=n: lab.cli.main([n, "--help"]), capsys) for n in lab.cli.COMMANDS}
    assert set(sections) == {*own, *theirs, "airflow"}
    for name, options in (own | theirs).items():
        assert set(re.findall(r"^\| `(--[a-z0-9-]+)", sections[name], re.M)) == options, f"./lake {name}"


def test_every_variable_and_target_is_documented() -> None:
    text = (DOCS / "reference/cli.md").read_text()
    files = [ROOT / "lake", ROOT / "Makefile", *(p for d in ("include", "lab") for p in (ROOT / d).rglob("*.py"))]
    assert {v for f in files for v in re.findall(r"\bHOMELAKE_[A-Z]+\b", f.read_text())} == set(re.findall(r"\bHOMELAKE_[A-Z]+\b", text))
    assert set(re.findall(r"\| `make ([a-z-]+)`", text)) <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


# lake.yaml


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of the declaration: `vm.disk.slot`, `buckets[].name`."""
    for name, field in model.model_fields.items():
        inner: Any = next((a for a in (field.annotation, *get_args(field.annotation)) if isinstance(a, type) and issubclass(a, BaseModel)), None)
        if inner is None:
            yield prefix + name, field
        else:
            yield from leaves(inner, f"{prefix}{name}{'[]' if get_origin(field.annotation) is tuple else ''}.")


def literals(annotation: Any) -> set[str]:
    return {a for a in get_args(annotation) if isinstance(a, str)} | {x for a in get_args(annotation) if not isinstance(a, str) for x in literals(a)}


def test_every_key_of_the_declaration_is_documented() -> None:
    documented = {code(key): (kind, code(default)) for key, kind, default, _ in (r for r in rows("reference/lake-yaml.md") if len(r) == 4) if key != "Key"}
    fields = dict(leaves(LakeSpec))
    assert list(documented) == list(fields)
    for key, field in fields.items():
        kind, text = documented[key]
        if field.is_required():
            assert text == "required", key
            continue
        default = field.default
        unit = type(default) if isinstance(default, (Size, Seconds, Percent)) else None
        shown = unit.parse(text) if unit else {"none": () if default == () else None}.get(text, text if text.startswith("@") else yaml.safe_load(text))
        assert shown == default, f"{key}: {text} is documented, {default!r} holds"
        assert (type(None) in get_args(field.annotation)) == ("none" in kind or key.startswith("minio.binary.")), f"{key}: {kind}"
        assert not (missing := [v for v in literals(field.annotation) if f"`{v}`" not in kind]), f"{key}: {missing} not named"


# Connections, DAGs, the stand-in


def test_site_env_has_the_keys_of_the_lab_and_makes_every_connection(tmp_path: Path) -> None:
    page = DOCS / "how-to/real-site.md"
    example, place = parse_facts(blocks(page, "ini")[0]), Lab("docs", 249, tmp_path)
    place.secrets.mkdir()
    known = {k: str(v) for k, v in lab.cli.facts(place).items()}
    assert set(example) <= set(known) <= set(KEYS)
    assert [k for k in KEYS if not re.search(rf"\b{k}\b", page.read_text())] == []
    assert set(known) == {k for k in known if f"`{k}`" in page.read_text() or k in example}
    (hosts := tmp_path / "known_hosts").touch()
    ours, theirs = (connections(facts | {"SSH_KNOWN_HOSTS": str(hosts)}) for facts in (example, known))
    assert set(ours) == set(theirs) == {code(r[0]) for r in rows("reference/connections.md") if len(r) == 5 and r[0] != "Id"} - {"lake_user_spark_user"}
    for name, connection in ours.items():
        assert (bool(connection.host), bool(connection.login)) == (bool(theirs[name].host), bool(theirs[name].login)), name


def test_every_task_and_param_is_documented() -> None:
    text, tables = (DOCS / "reference/dags.md").read_text(), [code(r[0]) for r in rows("reference/dags.md")]
    for path in (ROOT / "dags").glob("*.py"):
        source = path.read_text()
        for name in re.findall(r'dag_id="(\w+)"', source):
            assert f"\n## {name}\n" in text
        params = re.search(r"params=\{(.*?)\n? *\}[,)]", source, re.S)
        names = re.findall(r'task_id="(\w+)"', source) + re.findall(r'"(\w+)": Param\(', params[1] if params else "")
        missing = [n for n in names if n not in tables and not any(t.endswith(f".{n}") for t in tables)]
        assert names
        assert not missing, f"{path.name}: {missing}"


def test_the_stand_ins_calls_are_documented() -> None:
    for module in pkgutil.iter_modules(lab.pve.__path__):
        if module.name.startswith("routes"):
            importlib.import_module(f"lab.pve.{module.name}")
    served: dict[str, set[str]] = {}
    for route in ROUTES:
        served.setdefault(route.path, set()).add(route.method)
    table = "".join(f"| `{path}` | {', '.join(sorted(methods))} |\n" for path, methods in sorted(served.items()))
    assert (DOCS / "reference/lab-api.md").read_text().endswith(f"|---|---|\n{table}"), f"docs/reference/lab-api.md should end with\n{table}"

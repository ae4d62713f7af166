"""A YAML file read as a model: errors that say where, why and what to do, all at once."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from include.lake.errors import SpecError

M = TypeVar("M", bound=BaseModel)

# What to write instead, where pydantic speaks of Python's types.
_WRITE = {
    "model_type": "write its keys below it, indented, or remove it",
    "tuple_type": "write a list, as [one, two]",
    "too_short": "give at least one",
    "string_type": "write text (in quotes, where it looks like a number or a date)",
    "int_type": "write a whole number without quotes",
    "bool_type": "write true or false",
    "invalid_key": "a key is text; put it in quotes",
}


def read_document(path: Path, model: type[M]) -> M:
    """Read and check a file. Raises SpecError with every problem in it, and nothing else."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError(str(path), ("it is not UTF-8 text",)) from None
    except OSError as error:
        raise SpecError(str(path), (f"{error.strerror or error}",)) from None
    return check_document(text, path, model)


def check_document(text: str, path: Path, model: type[M]) -> M:
    """Check what a file holds, or is to hold: as `read_document`."""
    try:
        content, problems = _parsed(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SpecError(str(path), (f"{_line(mark)}{getattr(error, 'problem', None) or 'it is not YAML'}",)) from None
    if not isinstance(content, dict):
        raise SpecError(str(path), ("the file holds no keys; start from the example in docs/reference/lake-yaml.md",))
    try:
        found = model.model_validate(content)
    except ValidationError as error:
        problems = [*problems, *_told(error, model)]
    if problems:
        raise SpecError(str(path), tuple(dict.fromkeys(problems)))
    return found


def _parsed(text: str) -> tuple[Any, list[str]]:
    """What YAML makes of it, and the keys that are given twice."""
    loader = _Loader(text)
    try:
        return loader.get_single_data(), loader.twice
    finally:
        loader.dispose()


def _told(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    problems = error.errors()
    # A list whose only item is wrong is also "too short": the item's own problem says it all.
    inner = {e["loc"][: len(e["loc"]) - n] for e in problems for n in range(1, len(e["loc"]) + 1)}
    for problem in problems:
        if not (problem["type"] == "too_short" and problem["loc"] in inner):
            yield from _explain(problem, model)


def several(problems: list[str]) -> PydanticCustomError:
    """One validator's problems, each with its own path in the text."""
    return PydanticCustomError("several", "{problems}", {"problems": problems})


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key given twice is an error, as whoever wrote it meant only one of the two: `twice` has them all."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.twice: list[str] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (k for k, _ in node.value if isinstance(k, yaml.ScalarNode)):
            if key.value in seen:
                self.twice.append(f"{_line(key.start_mark)}the key {key.value!r} is given twice. Leave one of them out.")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)  # type: ignore[no-any-return]

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, AttributeError):  # what only looks like a number or a date, as 2026-13-45
            raise yaml.constructor.ConstructorError(None, None, f"{node.value!r} cannot be read; put it in quotes", node.start_mark) from None


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}: " if mark else ""


def _explain(error: Any, model: type[BaseModel]) -> Iterator[str]:
    location, kind, context = error["loc"], error["type"], error.get("ctx", {})
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".") or "the file"
    if kind == "several":
        yield from (f"{problem}." for problem in context["problems"])
    elif kind == "extra_forbidden":
        known = _fields_at(location[:-1], model)
        near = difflib.get_close_matches(str(location[-1]), known, 1)
        yield f"{where}: unknown key. " + (f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}.")
    elif kind == "missing":
        yield f"{where}: missing. Add it."
    elif kind == "value_error":
        yield f"{where}: {context.get('error', error['msg'])}."
    else:
        given = "" if isinstance(error["input"], (dict, list, tuple)) else f"{'nothing' if error['input'] is None else repr(error['input'])} is not valid: "
        yield f"{where}: {given}{_WRITE.get(kind) or error['msg'][:1].lower() + error['msg'][1:]}."


def _fields_at(location: tuple[Any, ...], model: Any) -> list[str]:
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = next((a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")), annotation)
    return list(model.model_fields)

"""A small resource whose client is a dict, to try the law itself on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from include.lake.errors import LakeError
from include.lake.resource import Change, Plan, Resource


@dataclass(frozen=True)
class Lamp:
    """A lamp. None: not managed."""

    on: bool | None = None
    colour: str | None = None
    watts: Any = None


@dataclass(frozen=True)
class Switch(Resource[Lamp, Any]):
    """A lamp as a resource. The client is a dict: `lamp`, and what it shall do (`raise`, `stuck`, `pending`)."""

    part: ClassVar[str] = "house"
    id: str = "lamp/hall"
    desired: Lamp | None = None
    needs: tuple[str, ...] = ()

    def observe(self, client: dict[str, Any]) -> Lamp | None:
        client["looks"] = client.get("looks", 0) + 1
        if error := client.get("raise"):
            raise error
        lamp: Lamp | None = client.get("lamp")
        return lamp

    def pending(self, client: dict[str, Any]) -> Mapping[str, object]:
        return dict(client.get("pending", {}))

    def usable(self, observed: Lamp) -> bool:
        return observed.on is not False

    def danger(self, change: Change) -> str | None:
        return "burns the house" if change.field == "watts" and isinstance(change.after, int) and change.after > 1000 else None

    def apply(self, todo: Plan, client: dict[str, Any]) -> None:
        client.setdefault("applied", []).append(todo)
        if failure := client.get("fail"):
            raise LakeError("switch", self.id, failure)
        if client.get("stuck"):
            return
        before = client.get("lamp") or Lamp()
        values = {f: getattr(before, f) for f in ("on", "colour", "watts")} | {c.field: c.after for c in todo.changes}
        client["lamp"] = None if todo.action == "delete" else Lamp(**values)
        if later := client.get("becomes pending"):
            client["pending"] = {f: values[f] for f in later}
            client["lamp"] = Lamp(**{**values, **{f: getattr(before, f) for f in later}})

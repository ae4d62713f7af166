"""Secret values that cannot be printed by accident."""

from dataclasses import dataclass


class Secret:
    """A secret's value. It compares by value and shows itself as `(secret)` everywhere; only `reveal()` gives it out.

    >>> Secret("hunter2")
    (secret)
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: only adapters call this, at the moment the bytes are sent."""
        return self._value

    def __repr__(self) -> str:
        return "(secret)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is never serialised; pass a SecretRef")


@dataclass(frozen=True)
class SecretRef:
    """Where a secret is found: a field of a connection (`password`, `login:password`, or a key of extra)."""

    connection: str
    field: str = "password"

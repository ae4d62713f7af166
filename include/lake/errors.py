"""What can go wrong, said the same way everywhere: `Unable to <verb> <what>: <cause>. <remedy>`."""


class LakeError(Exception):
    """An error a user can act on. It is shown as one line, never with a traceback.

    `retry` tells an orchestrator whether the same call may succeed later.
    """

    retry = False

    def __init__(self, verb: str, what: str, cause: str, remedy: str = "") -> None:
        self.verb, self.what, self.cause, self.remedy = verb, what, cause.rstrip(". "), remedy.rstrip(". ")
        super().__init__(verb, what, cause, remedy)

    def __str__(self) -> str:
        tail = f" {self.remedy}." if self.remedy else ""
        return f"Unable to {self.verb} {self.what}: {self.cause}.{tail}"


def fault(verb: str, what: str, error: Exception) -> LakeError:
    """An exception that nobody foresaw, told as a user may see it. Whoever catches it writes the trace to the log."""
    return LakeError(verb, what, f"{type(error).__name__}: {error}", "That is a fault of Homelake; its log has the trace")


class Unreachable(LakeError):
    """A part did not answer, or would not say: what it holds is unknown, which is never the same as absent."""

    retry = True

    def __init__(self, what: str, cause: str, remedy: str = "") -> None:
        super().__init__("reach", what, cause, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.cause, self.remedy)


class Refused(LakeError):
    """Homelake will not do this: it could lose data, or touch what it did not make."""


class NotConverged(LakeError):
    """The change was made without an error, and yet the part is not as declared."""

    def __init__(self, what: str, left: str) -> None:
        self.left = left
        super().__init__("converge", what, f"after the change it still differs: {left}", "Look at the part itself; something else may be changing it")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.left)


class SpecError(LakeError):
    """The declaration is not valid. `problems` holds one line for each thing that is wrong."""

    def __init__(self, path: str, problems: tuple[str, ...]) -> None:
        self.problems = problems
        lines = "".join(f"\n  {p}" for p in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("read", path, f"{count}{lines}")
        self.args = (path, problems)

    def __str__(self) -> str:
        return f"Unable to {self.verb} {self.what}: {self.cause}" + ("" if self.cause.endswith((".", "?")) else ".")

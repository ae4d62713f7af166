"""The simulator's one error: `Unable to <verb> <what>: <cause>. <remedy>.`"""


class SimulatorError(Exception):
    """Something a user can act on; shown as one line, never with a traceback."""

    def __init__(self, verb: str, what: str, cause: str, remedy: str = "") -> None:
        self.verb, self.what, self.cause, self.remedy = verb, what, cause.rstrip(". "), remedy.rstrip(". ")
        super().__init__(verb, what, cause, remedy)

    def __str__(self) -> str:
        return f"Unable to {self.verb} {self.what}: {self.cause}." + (f" {self.remedy}." if self.remedy else "")

"""The API's errors: the message travels in the HTTP reason phrase, parameter errors by name in `errors`."""


class ApiError(Exception):
    """An answer other than 200. Its text is what a task that ends with it shows as its exit status."""

    def __init__(self, status: int, message: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(status, message, errors)
        self.status, self.message, self.errors = status, message, errors

    def __str__(self) -> str:
        code = "" if self.status == 500 else f"{self.status} "
        return " ".join([code + self.message, *(f"{k}: {v.strip()}" for k, v in (self.errors or {}).items())]).replace("\n", " ")


class GuestError(ApiError):
    """The error with which a guest's agent answered: its `class` and what it says, `desc`."""

    def __init__(self, error: dict[str, str]) -> None:
        super().__init__(500, f"Agent error: {error.get('desc', 'unknown')}")
        self.error = error


def bad_parameters(errors: dict[str, str]) -> ApiError:
    """400: each wrong parameter with what is wrong about it."""
    return ApiError(400, "Parameter verification failed.", errors)


def denied(path: str, *privileges: str) -> ApiError:
    """403, worded as the real one does."""
    return ApiError(403, f"Permission check failed ({path}, {'|'.join(privileges)})")


def failed(message: str) -> ApiError:
    """500: the operation itself did not work."""
    return ApiError(500, message)


def not_covered(what: str) -> ApiError:
    """501: the real one can do this, the stand-in cannot."""
    return ApiError(501, f"{what} is not covered by this stand-in")

"""The API's errors: the message travels in the HTTP reason phrase, parameter errors by name in `errors`."""


class ApiError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors


def bad_parameters(errors: dict[str, str]) -> ApiError:
    """400: each wrong parameter with what is wrong about it."""
    return ApiError(400, "Parameter verification failed.", errors)


def denied(path: str, *privileges: str) -> ApiError:
    """403, worded as the real one does."""
    return ApiError(403, f"Permission check failed ({path}, {'|'.join(privileges)})")


def failed(message: str) -> ApiError:
    """500: the operation itself did not work."""
    return ApiError(500, message)

"""Make the error bodies of the contract."""

from __future__ import annotations

import secrets
from typing import Any


class ApiError(Exception):
    """An answer other than 200, with a status, `message`, `error`, and perhaps `details`."""

    def __init__(
        self, status: int, message: Any, error: str, details: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error = error
        self.details = details

    def body(self) -> dict[str, Any]:
        extra = {} if self.details is None else {"details": self.details}
        return {
            "reqId": f"req-{secrets.token_hex(7)}",
            "statusCode": self.status,
            "message": self.message,
            **extra,
            "error": self.error,
        }


def bad_request(message: str, error: str = "BadRequest") -> ApiError:
    return ApiError(400, message, error)


def unauthorized_error(
    message: str = "Invalid credentials", error: str = "UnauthorizedError"
) -> ApiError:
    return ApiError(401, message, error)


def forbidden_error(message: str, error: str = "ForbiddenError") -> ApiError:
    return ApiError(403, message, error)


def token_error(message: str) -> ApiError:
    return ApiError(403, message, "TokenError")


def not_found(message: str, error: str = "NotFound") -> ApiError:
    return ApiError(404, message, error)


def validation_failure(issues: list[dict[str, Any]]) -> ApiError:
    return ApiError(422, issues, "ValidationFailure")


def something_went_wrong(error: str = "InternalServerError") -> ApiError:
    return ApiError(500, "Something went wrong", error)

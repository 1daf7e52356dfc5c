"""The answers Lofty gives when it refuses.

Business refusals carry their number inside the message text and have no `code` key; refusals of the gateway have both.
"""

from typing import Any


class ApiError(Exception):
    """An answer other than 200: `status` and the JSON `body`."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def gateway(status: int, code: int, message: str) -> ApiError:
    """A refusal of the gateway: `{"code", "message"}`."""
    return ApiError(status, {"code": code, "message": message})


def business(status: int, code: int, message: str) -> ApiError:
    """A refusal of the application: the code is part of the message."""
    return ApiError(status, {"message": f"BaseApplicationException:errorCode={code},errorMsg={message}"})


def named(status: int, name: str) -> ApiError:
    """A refusal of which only the name is documented, and no number."""
    return ApiError(status, {"message": name})


def denied() -> ApiError:
    """Where children of a lead are concerned, absent and not visible are often this."""
    return business(400, 20017, "Permission denied")


def no_lead() -> ApiError:
    """Absent, trashed and not visible are the same answer."""
    return business(404, 20006, "Lead not exist")


def invalid() -> ApiError:
    """Lofty never says which parameter."""
    return business(400, 20012, "Invalid parameter")

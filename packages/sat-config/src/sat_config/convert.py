"""From the plain table to the typed configuration. The only place that calls `msgspec.convert`."""

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def convert(value: object, annotation: type[T]) -> T:
    """Decode a plain value strictly.

    Raises:
        msgspec.ValidationError: It does not fit; only the first fault is named.
    """
    return msgspec.convert(value, annotation)


def fault(value: object, annotation: Any) -> str | None:  # noqa: ANN401 - any annotation
    """Msgspec's words for what is wrong with a value, or None."""
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        return str(error)
    return None

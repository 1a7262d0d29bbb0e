"""From the typed configuration back to text, with every default written out."""

from typing import Any, Literal

import msgspec

from sat_config import upgrade


def plain(config: msgspec.Struct) -> dict[str, Any]:
    """The configuration as plain data; None, which TOML cannot write, is left out."""
    data: dict[str, Any] = without_none(msgspec.to_builtins(config))
    return data


def dumps(config: msgspec.Struct, format: Literal["toml", "json"] = "toml") -> str:
    """The configuration as a document that loads to an equal one.

    Raises:
        ValueError: The format is neither "toml" nor "json".
    """
    data = {"schema_version": upgrade.CURRENT, **plain(config)}
    if format == "json":
        import json

        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if format == "toml":
        import tomli_w

        return tomli_w.dumps(data)
    raise ValueError(f"format is {format!r}; expected 'toml' or 'json'")


def without_none(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """A plain value without the nulls in its tables and lists."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_none(item) for item in value if item is not None]
    return value

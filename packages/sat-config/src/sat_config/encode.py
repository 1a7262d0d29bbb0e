"""From the typed configuration back to text, with every default written out.

JSON is what stable-audio-tools reads too, and much of it lands there as keyword arguments. A field
that it would choke on is therefore marked `Meta(extra={"ours": "why"})`, and JSON has it only where
it is not at its default; such a value means something that stable-audio-tools cannot do anyway.
"""

from typing import Any, Literal

import msgspec

from sat_config import schema, upgrade
from sat_config.schema import Slot


def plain(config: msgspec.Struct) -> dict[str, Any]:
    """The configuration as plain data; None, which TOML cannot write, is left out."""
    data: dict[str, Any] = without_none(msgspec.to_builtins(config))
    return data


def dumps(config: msgspec.Struct, format: Literal["toml", "json", "yaml"] = "toml") -> str:
    """The configuration as a document that loads to an equal one; JSON suits SAT as well.

    Raises:
        ValueError: The format is none of "toml", "json" and "yaml".
        MissingExtraError: YAML is asked for and the extra `yaml` is not installed.
    """
    data = {"schema_version": upgrade.CURRENT, **plain(config)}
    if format == "json":
        import json

        _drop_ours(data, schema.struct_slot(type(config)))
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if format == "toml":
        import tomli_w

        return tomli_w.dumps(data)
    if format == "yaml":
        from sat_config import yaml_text

        return yaml_text.dumps(data)
    raise ValueError(f"format is {format!r}; expected 'toml', 'json' or 'yaml'")


def _drop_ours(value: Any, slot: Slot) -> None:  # noqa: ANN401 - any plain value
    """Remove the keys that stable-audio-tools cannot have, where they are at their defaults."""
    if not schema.concerns(slot, "ours"):
        return
    if isinstance(value, list) and slot.item is not None:
        for item in value:
            _drop_ours(item, slot.item)
    if not isinstance(value, dict):
        return
    cls = slot.struct_for(value)
    for key in list(value):
        found = schema.fields(cls).get(key) if cls else None
        inner = found.slot if found else slot.values
        if (
            found
            and found.slot.ours
            and value[key] == without_none(msgspec.to_builtins(found.default))
        ):
            del value[key]
        elif inner is not None:
            _drop_ours(value[key], inner)


def without_none(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """A plain value without the nulls in its tables and lists."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_none(item) for item in value if item is not None]
    return value

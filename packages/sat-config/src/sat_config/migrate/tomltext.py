"""Plain data as TOML that people like to read: short lists on one line, comments wrapped."""

import textwrap
from collections.abc import Iterator
from typing import Any

WIDTH = 100


def pair(key: str, value: Any) -> str:  # noqa: ANN401 - a plain value
    """One `key = value` of a key as TOML writes it, on one line unless it is a long list."""
    return f"{key} = {_value(value, WIDTH - len(key) - 3)}"


def value(value: Any) -> str:  # noqa: ANN401 - a plain value
    """A value on one line."""
    return _value(value, 1 << 20)


def tables(data: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """A table: first what has one value, then each table in it under a header of its own."""
    inner = {key: value for key, value in data.items() if isinstance(value, dict)}
    if path and (len(inner) < len(data) or not data):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in data.items():
        if key not in inner:
            yield pair(_key(key), value)
    for key, value in inner.items():
        yield from tables(value, (*path, key))


def comment(text: str) -> Iterator[str]:
    """Text as lines of a comment."""
    for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def _value(value: Any, room: int) -> str:  # noqa: ANN401 - a plain value
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {_value(item, WIDTH)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if not isinstance(value, list):
        return _scalar(value)
    items = [_value(item, WIDTH) for item in value]
    short = f"[{', '.join(items)}]"
    if len(short) <= room and "\n" not in short:
        return short
    return "[\n" + "".join(f"  {item},\n" for item in items) + "]"


def _scalar(value: Any) -> str:  # noqa: ANN401 - a plain value
    import tomli_w

    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def _key(key: str) -> str:
    import tomli_w

    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")

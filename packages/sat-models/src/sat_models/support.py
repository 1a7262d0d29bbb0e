"""Settings that the schema knows and a builder does not honour are refused, never passed over."""

from collections.abc import Collection

import msgspec

from sat_config.errors import UserError


class UnsupportedError(UserError):
    """A setting that has another value than its default, and that nothing here acts on yet."""


def refuse_unsupported(node: msgspec.Struct, honoured: Collection[str], *, where: str) -> None:
    """Check that whatever is not honoured has its default.

    Args:
        node: The node that a builder was given.
        honoured: Its fields that the builder acts on.
        where: Path of the node in the experiment, for the message.

    Raises:
        UnsupportedError: A field outside of `honoured` was set.
    """
    found = [
        f"{where}.{field.encode_name}".lstrip(".")
        for field in msgspec.structs.fields(type(node))
        if field.name not in honoured and getattr(node, field.name) != _default(field)
    ]
    if found:
        raise UnsupportedError(
            f"this version does not act on {', '.join(found)}: leave"
            f" {'it' if len(found) == 1 else 'them'} out, or the run would not be what the file"
            " says"
        )


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default

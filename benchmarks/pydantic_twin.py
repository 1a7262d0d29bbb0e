"""The schema once more, as pydantic models: what the benchmark of decoding compares with."""

import types
import typing
from typing import Annotated, Any, Union

import msgspec
import pydantic
from pydantic import ConfigDict, Field

from sat_config import schema

CLOSED = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
LIMITS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length")


def twin_of(root: type[msgspec.Struct]) -> type[pydantic.BaseModel]:
    """A closed and frozen model of a Struct and of all below it, with the same constraints."""
    models: dict[str, Any] = {}
    ahead = [root]
    while ahead:
        cls = ahead.pop()
        if _name(cls) not in models:
            models[_name(cls)] = _model(cls, ahead)
    for model in models.values():
        model.model_rebuild(_types_namespace=models)
    found: type[pydantic.BaseModel] = models[_name(root)]
    return found


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".replace(".", "_")


def _model(cls: type[msgspec.Struct], ahead: list[type[msgspec.Struct]]) -> Any:  # noqa: ANN401
    config = cls.__struct_config__
    fields: dict[str, Any] = {}
    if config.tag_field is not None:
        fields[config.tag_field] = (typing.Literal[config.tag], config.tag)
    for field in schema.fields(cls).values():
        ahead += _structs(field.slot)
        default = ... if field.required else _default(field.default)
        fields[field.key] = (_annotation(field.slot.annotation, field.slot), default)
    return pydantic.create_model(_name(cls), __config__=CLOSED, **fields)


def _structs(slot: schema.Slot) -> list[type[msgspec.Struct]]:
    inner = [found for found in (slot.item, slot.values) if found is not None]
    return [*slot.structs, *(cls for found in inner for cls in _structs(found))]


def _default(value: Any) -> Any:  # noqa: ANN401 - any default
    return Field(default=value, validate_default=False)


def _annotation(annotation: Any, slot: schema.Slot) -> Any:  # noqa: ANN401 - any annotation
    parts = list(_arms(annotation))
    structs = [part for part in parts if part in slot.structs]
    others = [_leaf(part) for part in parts if not _is_struct(part)]
    if len(structs) > 1:
        union = Union[tuple(_name(cls) for cls in structs)]  # noqa: UP007 - built at run time
        tag = structs[0].__struct_config__.tag_field
        others.insert(0, Annotated[union, Field(discriminator=tag)])
    elif structs:
        others.insert(0, typing.ForwardRef(_name(structs[0])))
    return Union[tuple(others)] if len(others) > 1 else others[0]  # noqa: UP007


def _arms(annotation: Any) -> typing.Iterator[Any]:  # noqa: ANN401 - any annotation
    if typing.get_origin(annotation) in (Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _arms(part)
    else:
        yield annotation


def _is_struct(part: Any) -> bool:  # noqa: ANN401 - any annotation
    return isinstance(part, type) and issubclass(part, msgspec.Struct)


def _leaf(part: Any) -> Any:  # noqa: ANN401 - any annotation
    origin, arguments = typing.get_origin(part), typing.get_args(part)
    if origin is Annotated:
        limits = {
            name: value
            for meta in arguments[1:]
            for name in LIMITS
            if (value := getattr(meta, name)) is not None
        }
        inner = _annotation(arguments[0], schema.slot_of(arguments[0]))
        return Annotated[inner, Field(**limits)] if limits else inner
    if origin is tuple:
        inner_types = tuple(
            part if part is ... else _annotation(part, schema.slot_of(part)) for part in arguments
        )
        # as strict about elements as msgspec, and as free to take a list for a tuple
        return Annotated[tuple.__class_getitem__(inner_types), Field(strict=False)]
    if origin is dict:
        return dict[str, _annotation(arguments[1], schema.slot_of(arguments[1]))]  # type: ignore[misc]
    return part

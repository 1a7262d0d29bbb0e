"""JSON Schema of the documents, in the form that editors make the most of.

A tagged union is an object whose tag has an enum, with one `if tag then member` per member: a
checker then names the exact key that is wrong, where a plain `anyOf` could only say that nothing
fits. `anyOf: [members..., true]` restrains nothing; completion inside members needs it.
"""

import functools
import re
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from sat_config import guards, layers, plugins, registry, schema, upgrade
from sat_config.errors import format_path
from sat_config.registry import Family
from sat_config.schema import Slot

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Json = dict[str, Any]


def json_schema(type: type[msgspec.Struct] | None = None, *, layer: bool = False) -> Json:
    """The schema of a kind of document.

    Args:
        type: A Struct or the head of a family; whole experiments if left out.
        layer: For files that others include: the same keys, none of them required.
    """
    plugins.load()
    writer = _Writer(layer=layer)
    if type is None:
        body = writer.roots(registry.current().roots())
    else:
        body = writer.slot(schema.struct_slot(type))
    return {"$schema": DIALECT, **body, "$defs": writer.definitions}


def descriptions(cls: type[msgspec.Struct]) -> dict[str, str]:
    """What the `Attributes:` sections of a Struct and its bases say of each field."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= _own_descriptions(base)
    return found


@functools.cache
def _own_descriptions(cls: type) -> dict[str, str]:
    # Before Python 3.13, docstrings come with the indentation of the source.
    text = textwrap.dedent((vars(cls).get("__doc__") or "").partition("\n")[2])
    section = re.search(r"(?:^|\n)Attributes:\n(.*)", text, re.DOTALL)
    if section is None:
        return {}
    rows = re.finditer(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section[1], re.MULTILINE)
    return {row[1]: re.sub(r"\s+", " ", row[2]).strip() for row in rows}


def summary(cls: type[msgspec.Struct]) -> str:
    """The first line of a Struct's docstring."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


DOCUMENTS = ("experiment", "layer", "group", "model", "dataset", "training")
"""Kinds of documents that have a schema of their own."""


def document_schema(document: str) -> Json:
    """The schema of a kind of document.

    Args:
        document: One of `DOCUMENTS`: a whole experiment; a file that others include, which has the
            same keys and must have none; a file of a Hydra group with package _global_, which is
            such a layer with interpolations and with what Hydra reads; a model, a dataset or a
            training block by itself, as stable-audio-tools' JSON has them.
    """
    plugins.load()
    roots = registry.current().roots()
    writer = _Writer(layer=document in ("layer", "group"))
    if document in ("experiment", "layer"):
        body = writer.roots(roots)
    elif document == "group":
        writer.interpolated = True
        body = writer.roots(roots)
    elif document == "model":
        writer.left_out = {key for root in roots for key in schema.fields(root.base)} - {
            key for root in roots for key in root.base.__annotations__ if key in MODEL_KEYS
        }
        body = writer.roots(roots)
    else:
        slots = [
            found[document].slot
            for root in roots
            for cls in root.members.values()
            if document in (found := schema.fields(cls))
        ]
        arms = [arm for slot in slots for arm in _alternatives_of(writer.slot(slot))]
        unique = list({msgspec.json.encode(arm): arm for arm in arms}.values())
        body = unique[0] if len(unique) == 1 else {"anyOf": unique}
    return {"$schema": DIALECT, **body, "$defs": writer.definitions}


MODEL_KEYS = ("sample_rate", "sample_size", "audio_channels")
"""What all models say of themselves, besides their network and its training."""


def _alternatives_of(body: Json) -> list[Json]:
    """What a slot accepts, null left out."""
    arms: list[Json] = body.get("anyOf", [body]) if "$ref" not in body else [body]
    return [arm for arm in arms if arm != {"type": "null"}]


class _Writer:
    """Writes slots and collects the definitions that they refer to."""

    def __init__(self, *, layer: bool) -> None:
        self.layer = layer
        self.interpolated = False
        self.left_out: set[str] = set()
        self.definitions: dict[str, Json] = {}
        self.names: dict[tuple[type, bool], str] = {}

    # ------------------------------------------------------------------------------- structures

    def roots(self, families: list[Family]) -> Json:
        """Whole documents, with the keys that steer the loading."""
        if len(families) == 1:
            return self.union(families[0], root=True)
        return {"anyOf": [self.union(family, root=True) for family in families]}

    def family(self, family: Family) -> Json:
        """A reference to the definition of a tagged union."""
        name = family.base.__name__
        if (family.base, False) not in self.names:
            self.names[family.base, False] = name
            self.definitions[name] = {}
            self.definitions[name] = self.union(family)
        return {"$ref": f"#/$defs/{name}"}

    def union(self, family: Family, *, root: bool = False) -> Json:
        """A tagged union in the if/then form."""
        tags = list(family.members)
        refs = {tag: self.member(cls, root=root) for tag, cls in family.members.items()}
        cases = [{"if": _tagged(family.tag_path, tag), "then": refs[tag]} for tag in tags]
        tag_schema = {"enum": tags, "description": f"Which {family.name} it is."}
        if root and self.layer:  # what has no tag still has the keys that all types share
            shared = {"properties": self.properties(family.base, root=True)}
            cases.append({"if": {"required": [family.tag_path[0]]}, "else": shared})
        body: Json = {
            **self.kind("object"),
            "description": summary(family.base),
            "properties": _nested(family.tag_path, tag_schema),
            "allOf": cases,
            "anyOf": [*refs.values(), True],
            "additionalProperties": True,
        }
        if not self.layer:
            body["required"] = [family.tag_path[0]]
        return body

    def member(self, cls: type[msgspec.Struct], *, root: bool = False) -> Json:
        """A reference to the definition of one Struct, which is written if it is new."""
        if (cls, root) not in self.names:
            family = registry.current().family_of(cls)
            nested = family is not None and family.is_root and not root
            name = f"Nested{cls.__name__}" if nested else cls.__name__
            name = name if name not in self.definitions else _full_name(cls)
            self.names[cls, root] = name
            self.definitions[name] = {}  # entered first: a Struct can contain itself
            self.definitions[name] = self.struct(cls, root=root)
        return {"$ref": f"#/$defs/{self.names[cls, root]}"}

    def struct(self, cls: type[msgspec.Struct], *, root: bool) -> Json:
        """One closed table."""
        properties = self.properties(cls, root=root)
        tag = cls.__struct_config__
        if tag.tag_field is not None:
            properties = {tag.tag_field: {"const": tag.tag}, **properties}
        body: Json = {
            **self.kind("object"),
            "description": summary(cls),
            "properties": properties,
            "additionalProperties": False,
        }
        if root and self.interpolated:
            body["patternProperties"] = {"^_": True}
        required = [field.key for field in schema.fields(cls).values() if field.required]
        if required and not self.layer:
            body["required"] = required
        return body

    def properties(self, cls: type[msgspec.Struct], *, root: bool) -> Json:
        """The keys of a table."""
        texts = descriptions(cls)
        properties: Json = {}
        for field in schema.fields(cls).values():
            if root and field.key in self.left_out:
                continue
            written = self.slot(field.slot)
            if field.key in texts:
                written = {**written, "description": texts[field.key]}
            if not field.required and field.default is not None:
                written["default"] = _plain(field.default)
            properties[field.key] = written
        if root:
            properties |= _STEERING
        if root and self.interpolated:
            properties |= _OF_HYDRA
        return properties

    # ------------------------------------------------------------------------------------ slots

    def slot(self, slot: Slot) -> Json:
        """What one slot accepts."""
        arms: list[Json] = []
        if slot.family is not None:
            arms.append(self.family(slot.family))
        else:
            arms += [self.member(cls) for cls in slot.structs]
        arms += [
            self.leaf(part)
            for part in _arms(slot.annotation)
            if not (isinstance(part, type) and issubclass(part, msgspec.Struct))
        ]
        unique = list({msgspec.json.encode(arm): arm for arm in arms}.values())
        return unique[0] if len(unique) == 1 else {"anyOf": unique}

    def leaf(self, part: Any) -> Json:  # noqa: ANN401 - an annotation
        """A type without Structs of its own at this level."""
        origin, arguments = typing.get_origin(part), typing.get_args(part)
        if origin is typing.Annotated:
            body = self.slot(schema.slot_of(arguments[0]))
            for meta in arguments[1:]:
                body = {**body, **self.limits(meta, array="items" in body)}
            return body
        if origin is typing.Literal:
            choice = {"enum": list(arguments)}
            return {"anyOf": [choice, _INTERPOLATION]} if self.interpolated else choice
        if origin in (tuple, list):
            return self.array(arguments)
        if origin is dict:
            values = self.slot(schema.slot_of(arguments[1]))
            return {**self.kind("object"), "additionalProperties": values}
        return self.kind(_LEAVES[part]) if part in _LEAVES else {}

    def limits(self, meta: Any, *, array: bool) -> Json:  # noqa: ANN401 - msgspec.Meta
        """What a constraint says; of text, that an interpolation need not follow the pattern."""
        found = _limits(meta, array=array)
        if self.interpolated and "pattern" in found:
            found["pattern"] += f"|{_INTERPOLATION['pattern']}"
        return found

    def array(self, arguments: tuple[Any, ...]) -> Json:
        """A list of one type, or of fixed length."""
        if len(arguments) == 1 or arguments[-1] is Ellipsis:
            return {**self.kind("array"), "items": self.slot(schema.slot_of(arguments[0]))}
        return {
            **self.kind("array"),
            "prefixItems": [self.slot(schema.slot_of(part)) for part in arguments],
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }

    def kind(self, name: str) -> Json:
        """A JSON type; in a group of Hydra, an interpolation can stand for any value but text."""
        if not self.interpolated or name in ("string", "null"):
            return {"type": name}
        return {**_INTERPOLATION, "type": [name, "string"]}


_LEAVES = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}

_INTERPOLATION: Json = {"type": "string", "pattern": r"\$\{|^\?\?\?$"}

_OF_HYDRA: Json = {
    "defaults": {"type": "array", "description": "Files of other groups to compose with this one."},
    "hydra": {"type": "object", "description": "Settings of Hydra itself."},
}

_STEERING: Json = {
    "$schema": {"type": "string", "description": "Where editors find the schema."},
    "schema_version": {
        "const": upgrade.CURRENT,
        "description": "Version of the format that the document was written for.",
    },
    "include": {
        "description": "Files or presets that this one starts from, lowest first.",
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string", "description": "The file or preset."},
                        "take": {"type": "string", "description": "The table of it that counts."},
                        "at": {"type": "string", "description": "Where that table goes."},
                    },
                    "required": ["path"],
                    "additionalProperties": False,
                },
            ]
        },
    },
    "layer": {
        "enum": list(guards.KINDS),
        "description": "What this layer describes; families guard keys against other kinds.",
    },
    "overrides": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Single values to set (path=VALUE) or remove (-path).",
    },
    **{
        key: {
            "type": "string",
            "description": f"Document that goes to {format_path(at)}.",
        }
        for key, at in layers.PATH_KEYS.items()
    },
}


def _arms(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    """The alternatives of a union, each with its constraints."""
    import types

    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _arms(part)
    else:
        yield annotation


def _tagged(path: tuple[str, ...], tag: str) -> Json:
    return {"type": "object", "required": [path[0]], "properties": _nested(path, {"const": tag})}


def _nested(path: tuple[str, ...], leaf: Json) -> Json:
    """`leaf` as the schema of the key at the end of a path of tables."""
    if len(path) == 1:
        return {path[0]: leaf}
    inner = {"type": "object", "required": [path[1]], "properties": _nested(path[1:], leaf)}
    return {path[0]: inner}


def _limits(meta: Any, *, array: bool) -> Json:  # noqa: ANN401 - msgspec.Meta
    names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    names |= {"multiple_of": "multipleOf", "pattern": "pattern"}
    names |= (
        {"min_length": "minItems", "max_length": "maxItems"}
        if array
        else {"min_length": "minLength", "max_length": "maxLength"}
    )
    return {
        word: value
        for name, word in names.items()
        if (value := getattr(meta, name, None)) is not None
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - any default
    return msgspec.to_builtins(value)


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".replace(".", "_")

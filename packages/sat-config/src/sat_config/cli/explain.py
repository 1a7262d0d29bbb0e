"""`sat-config explain [FILE] KEY`: a key of a document, of the schema, or all that there is."""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from sat_config import (
    commandline,
    diagnose,
    errors,
    explanation,
    hints,
    jsonschema,
    loading,
    plugins,
    registry,
    schema,
    shipped,
)
from sat_config.explanation import Explanation
from sat_config.registry import Family


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser(
        "explain",
        help="say what a key is, who set it, and which rules read it",
        description="Explain a key of an experiment. Without FILE, KEY is a path of the schema"
        " (model.bottleneck), a family (bottleneck) or a type (rvq); without both, all families"
        " and types are listed.",
    )
    parser.add_argument("words", nargs="*", metavar="[FILE] KEY")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    commandline.add_overriding(parser)
    parser.set_defaults(run=run, usage=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Explain; 1 if there is no such key or the file cannot be read."""
    words = arguments.words
    if len(words) > 2 or (len(words) == 1 and _is_file(words[0])):
        arguments.usage("expected [FILE] KEY; show FILE prints all keys")
    as_json = arguments.format == "json"
    if len(words) == 2:
        return _in_file(arguments, *words, as_json=as_json)
    plugins.load()
    if not words:
        return _print(_tree(), as_json, {f.name: list(f.members) for f in _families()})
    found = explanation.documented(words[0])
    types = list(_types(words[0]))
    if not found and not types:
        near = hints.nearest(words[0], [*_names()])
        advice = f"; did you mean {near}?" if near else ""
        print(f"nothing is called {words[0]!r}{advice}", file=sys.stderr)
        return 1
    lines = [line for facts in found for line in (*_of_key(facts), "")]
    lines += [line for cls, title in types for line in (*_of_type(cls, title), "")]
    plain = [*map(msgspec.to_builtins, found), *(_plain_type(cls) for cls, _ in types)]
    return _print(lines[:-1], as_json, plain)


def _in_file(arguments: argparse.Namespace, file: str, key: str, *, as_json: bool) -> int:
    report = loading.check(file, arguments.override, arguments.layer, may_run=False)
    if report.errors:
        errors.report(report.errors)
    if report.folded is None:
        return 1
    try:
        facts = explanation.explain(report.folded, key)
    except errors.UserError as error:
        print(f"{file}: {error}", file=sys.stderr)
        return 1
    _print(_of_key(facts, in_file=True), as_json, msgspec.to_builtins(facts))
    return 1 if report.errors else 0


def _is_file(word: str) -> bool:
    suffixes = (".toml", ".json", ".ini", ".yaml", ".yml")
    return (
        word.startswith(shipped.PREFIX) or word.lower().endswith(suffixes) or os.path.isfile(word)
    )


def _print(lines: Any, as_json: bool, plain: Any) -> int:  # noqa: ANN401
    text = msgspec.json.format(msgspec.json.encode(plain)).decode() if as_json else "\n".join(lines)
    sys.stdout.write(f"{text}\n")
    return 0


def _of_key(facts: Explanation, *, in_file: bool = False) -> Iterator[str]:
    """A key as text."""
    is_table = isinstance(facts.value, dict)
    shown = f" = {diagnose.show(facts.value)}" if in_file and not is_table else ""
    yield f"{facts.path}{shown if facts.value is not None else ' is not set' * in_file}"
    if facts.description:
        yield f"  {facts.description}"
    rows = [("allowed", facts.allowed)]
    default = "none, it must be given" if facts.required else diagnose.show(facts.default)
    rows.append(("default", "not set" if default == "null" else default))
    rows += [("a change", facts.consequence)]
    first = "set by" if facts.settings or not in_file else "default"
    for setting in facts.settings:
        value = "removed" if setting.removed else diagnose.show(setting.value)
        rows.append((first, f"{setting.origin}  {value}"))
        first = "then by"
    rows += [("dropped", f"{key} (by {origin})") for key, origin in facts.dropped.items()]
    rows += [("rule", f"{reader.code}  {reader.demands}") for reader in facts.rules]
    yield from (f"  {name:<9} {text}" for name, text in rows if text)
    yield from (f"    {key}: {text}" for key, text in facts.keys.items())


# ------------------------------------------------------------------------------ without a document


def _families() -> list[Family]:
    return list(registry.current().families.values())


def _names() -> Iterator[str]:
    for family in _families():
        yield family.name
        yield from family.members


def _tree() -> Iterator[str]:
    """All families and types, and the plug-ins that did not load."""
    for family in _families():
        yield f"{family.name} ({'.'.join(family.tag_path)}): {jsonschema.summary(family.base)}"
        width = max(map(len, family.members), default=0)
        for tag, cls in family.members.items():
            yield f"  {tag:<{width}}  {jsonschema.summary(cls)}"
    for name, reason in plugins.FAILED.items():
        yield f"plug-in {name} did not load: {reason}"


def _types(name: str) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """The Structs that a name means, each with a title."""
    for family in _families():
        if family.name == name:
            tags = ", ".join(family.members)
            yield family.base, f"{name}: one of {tags}"
        for tag, cls in family.members.items():
            if tag == name or cls.__name__ == name:
                yield cls, f"{family.name} {tag}"


def _of_type(cls: type[msgspec.Struct], title: str) -> Iterator[str]:
    """A type as text, with what stands under its `config`."""
    yield title
    yield f"  {jsonschema.summary(cls)}"
    yield from _keys(cls, "  ")
    inner = schema.fields(cls).get("config")
    for below in inner.slot.structs if inner else ():
        yield "  config:"
        yield from _keys(below, "    ")


def _keys(cls: type[msgspec.Struct], indent: str) -> Iterator[str]:
    texts = jsonschema.descriptions(cls)
    for key, field in schema.fields(cls).items():
        default = "required" if field.required else _default(field.default)
        kind = diagnose.describe(field.slot.annotation)
        yield f"{indent}{key} ({kind}; {default}): {texts.get(key, '')}"


def _default(value: object) -> str:
    plain = msgspec.to_builtins(value)
    return "not set" if plain is None else diagnose.show(plain)


def _plain_type(cls: type[msgspec.Struct]) -> dict[str, Any]:
    texts = jsonschema.descriptions(cls)
    return {"type": cls.__name__, "description": jsonschema.summary(cls), "keys": texts}

"""Write docs/reference/schema/: one page per family of nodes, with every type and key.

    python tools/reference_pages.py           # writes the pages
    python tools/reference_pages.py --check   # fails if one is not current

All that the pages say stands in the Structs of sat_config: types and ranges in the annotations,
meanings in the docstrings.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sat_config import diagnose, jsonschema, plugins, registry, rules, schema
from sat_config.audio import training
from sat_config.audio.experiment import AudioExperiment
from sat_config.registry import Family
from sat_config.run import Experiment
from sat_config.schema import Field, Slot

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference" / "schema"
MARK = "<!-- Written by tools/reference_pages.py; do not edit. -->"
TRAINING = (
    training.AutoencoderTraining,
    training.DiffusionUncondTraining,
    training.DiffusionCondTraining,
    training.DiffusionInpaintTraining,
    training.DiffusionAutoencoderTraining,
    training.LMTraining,
)
"""Structs with sections of their own, on the page of training blocks."""

Struct = type[msgspec.Struct]


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    wanted = pages()
    if parser.parse_args().check:
        stale = [name for name in {*wanted, *there()} if wanted.get(name) != there().get(name)]
        print(f"run {sys.argv[0]}: {', '.join(stale)}" if stale else "the pages are current")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in set(there()) - set(wanted):
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
    return 0


def there() -> dict[str, str]:
    """The pages as they are."""
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}


def pages() -> dict[str, str]:
    """The pages as they should be, by name."""
    plugins.load()
    found = {"run-keys.md": run_keys(), "training.md": training_blocks()}
    for family in families():
        found[f"{slug(family)}.md"] = family_page(family)
    return {name: re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n" for name, text in found.items()}


def families() -> list[Family]:
    """The families that ship with sat_config; a plug-in documents its own."""
    known = registry.current().families.values()
    return [family for family in known if _is_ours(family.base)]


def _is_ours(cls: Struct) -> bool:
    return cls.__module__.partition(".")[0] == "sat_config"


# ------------------------------------------------------------------------------------------ pages


def family_page(family: Family) -> str:
    """A family: how its types are told apart, and each type."""
    members = {tag: cls for tag, cls in family.members.items() if _is_ours(cls)}
    listed = "\n".join(
        f"| [`{tag}`](#{anchor(tag)}) | {line(jsonschema.summary(cls))} |"
        for tag, cls in members.items()
    )
    refused = "\n".join(f"- `{tag}`: {reason}." for tag, reason in family.refused.items())
    parts = [
        f"# {family.name[0].upper()}{family.name[1:]}",
        MARK,
        f"{body(family.base)}",
        f"{places(family)}The type is chosen by `{'.'.join(family.tag_path)}`:",
        f"| type | what it is |\n|---|---|\n{listed}",
        f"Refused, each with the reason:\n\n{refused}" if refused else "",
        *(member(tag, cls) for tag, cls in members.items()),
    ]
    return "\n\n".join(parts)


def member(tag: str, cls: Struct) -> str:
    """One type of a family."""
    own = schema.fields(cls)
    if issubclass(cls, AudioExperiment):
        own = {
            key: field for key, field in own.items() if key not in schema.fields(AudioExperiment)
        }
    keys = table(own, cls) if own else "It has no keys."
    return "\n\n".join([f"## `{tag}`", body(cls), keys, *rules_of(cls)])


def run_keys() -> str:
    """The keys at the root of every experiment."""
    run = schema.fields(Experiment)
    audio = {key: field for key, field in schema.fields(AudioExperiment).items() if key not in run}
    return "\n\n".join(
        [
            "# Run keys",
            MARK,
            "Keys at the root of every experiment, whatever it trains. Both commands read them.",
            table(run, Experiment),
            "## Audio",
            "Further root keys of experiments on audio. `model` and `training` depend on the"
            " [model type](model-type.md).",
            table(audio, AudioExperiment),
        ]
    )


def training_blocks() -> str:
    """The table `training`, which depends on the model type."""
    parts = ["# Training", MARK, "The table `training`, by [model type](model-type.md)."]
    for cls in TRAINING:
        parts += [f"## {cls.__name__}", body(cls), table(schema.fields(cls), cls), *rules_of(cls)]
    return "\n\n".join(parts)


# ----------------------------------------------------------------------------------------- tables


def table(fields: dict[str, Field], cls: Struct) -> str:
    """Keys with type, default and meaning; tables in them spread out."""
    head = "| key | value | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(rows(fields, cls, ""))


def rows(fields: dict[str, Field], cls: Struct, prefix: str) -> Iterator[str]:
    """One row per key, those of inner tables behind that of the table."""
    texts = jsonschema.descriptions(cls)
    for key, field in fields.items():
        cells = [f"`{prefix}{key}`", value(field.slot), default(field), texts.get(key, "")]
        cells[3] += f" *No effect: {field.slot.inert}.*" if field.slot.inert else ""
        yield f"| {' | '.join(map(line, cells))} |"
        for inner, mark in ((field.slot, "."), (field.slot.item, "[].")):
            below = plain_struct(inner)
            if below is not None and below not in TRAINING:
                yield from rows(schema.fields(below), below, f"{prefix}{key}{mark}")


def plain_struct(slot: Slot | None) -> Struct | None:
    """The Struct of a slot that takes one and has no tag."""
    return slot.structs[0] if slot and slot.family is None and slot.structs else None


def value(slot: Slot) -> str:
    """What a slot accepts, in words, with links to families."""
    kinds = {"input": "a path to read", "output": "a path to write", "checkpoint": "weights"}
    text = diagnose.describe(slot.annotation)
    if slot.path_kind:
        text = text.replace("text that is not empty", "text") + f" ({kinds[slot.path_kind]})"
    holder = slot if slot.family else slot.item
    if holder is not None and holder.family is not None:
        text = text.replace("a table", f"[{holder.family.name}]({slug(holder.family)}.md)")
    block = plain_struct(slot)
    if block in TRAINING:
        text = f"[{block.__name__}](training.md#{anchor(block.__name__)})"
    return text


def default(field: Field) -> str:
    """The value without the key."""
    if field.required:
        return "**required**"
    if field.default is None or isinstance(field.default, msgspec.Struct):
        return ""
    return f"`{diagnose.show(msgspec.to_builtins(field.default))}`"


def rules_of(cls: Struct) -> Iterator[str]:
    """The rules that look at a Struct, or at what is in its tables."""
    seen = [cls, *(s for field in schema.fields(cls).values() if (s := plain_struct(field.slot)))]
    found = [rule for rule in rules.RULES.values() if any(issubclass(s, rule.on) for s in seen)]
    found = [rule for rule in found if rule.on not in (Experiment, AudioExperiment)]
    if found:
        listed = "\n".join(f"- {rule.code}: {line(rule.sentence)}" for rule in found)
        yield f"[Rules](../rules.md):\n\n{listed}"


# ------------------------------------------------------------------------------------------ words


def body(cls: Struct) -> str:
    """The docstring of a Struct without its fields."""
    from inspect import cleandoc

    return cleandoc(cls.__doc__ or "").partition("\nAttributes:\n")[0].strip()


def places(family: Family) -> str:
    """Where nodes of a family stand, shortest paths first."""
    if family.is_root:
        return ""
    found = sorted(set(paths_to(family)), key=lambda path: (path.count("."), path))
    return f"It stands at {', '.join(f'`{path}`' for path in found[:6])}.\n\n" if found else ""


def paths_to(family: Family) -> Iterator[str]:
    """Paths from the root to slots of a family, through each Struct at most once."""
    for root in (found for found in families() if found.is_root):
        for cls in root.members.values():
            yield from _paths_below(cls, "", family, frozenset())


def _paths_below(cls: Struct, path: str, family: Family, seen: frozenset[Struct]) -> Iterator[str]:
    if cls in seen:
        return
    for key, field in schema.fields(cls).items():
        for slot, mark in ((field.slot, ""), (field.slot.item, "[]")):
            if slot is None:
                continue
            here = f"{path}{key}{mark}"
            if slot.family is family:
                yield here
            inner = () if slot.family and slot.family.is_root else slot.structs
            for below in inner if here.count(".") < 4 else ():
                yield from _paths_below(below, f"{here}.", family, seen | {cls})


def slug(family: Family) -> str:
    """The name of a family's page."""
    return family.name.lower().replace(" ", "-")


def anchor(name: str) -> str:
    """What leads to the section of this heading."""
    return name.lower()


def line(text: str) -> str:
    """Text as one cell of a table."""
    return re.sub(r"\s+", " ", text).strip().replace("|", r"\|")


if __name__ == "__main__":
    raise SystemExit(main())

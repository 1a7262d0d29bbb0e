"""Which family of documents a document belongs to, and what it is if it belongs to none."""

from collections.abc import Sequence

from sat_config import hints, layers, registry, schema
from sat_config.document import Table
from sat_config.errors import Path, Problem, format_path
from sat_config.layers import Layer
from sat_config.registry import Family
from sat_config.schema import Slot


def slot_of(expanded: Sequence[Layer], problems: list[Problem]) -> Slot | None:
    """The slot of the document's root, by the one model family whose tag it carries.

    Args:
        expanded: The layers, the document itself last.
        problems: Takes what is wrong if there is no such family, or more than one.
    """
    families = registry.current().roots()
    contents = [content for layer in expanded if (content := layer.content()) is not None]
    present = [f for f in families if any(f.tag_of(content) is not None for content in contents)]
    if len(present) == 1:
        return schema.struct_slot(present[0].base)
    paths = [format_path(family.tag_path) for family in present or families]
    file = expanded[-1].document.source.name
    suggestion = note = None
    if present:
        message = f"the document has {' and '.join(paths)}, so it could belong to several families"
    elif families:
        message = f"the document has no {' and no '.join(paths)}: nothing says what it configures"
        note, suggestion = _what_it_is(contents, families, file)
    else:
        message = "no family of documents is installed"
    problems.append(
        Problem(
            code="no-root-tag" if not present else "two-root-tags",
            message=message,
            file=file,
            allowed=" or ".join(
                f"{format_path(f.tag_path)} ({', '.join(f.members)})" for f in families
            ),
            suggestion=suggestion,
            note=note,
        )
    )
    return None


def _what_it_is(
    contents: Sequence[Table], roots: Sequence[Family], file: str
) -> tuple[str | None, str | None]:
    """A note and a next step for whoever takes a part for a document, or misspells the tag."""
    parts = [
        family
        for family in registry.current().families.values()
        for table in contents
        if not family.is_root and family.member_for(table) is not None
    ]
    if len(parts) != 1:
        kinds = [kind for root in roots for kind in (root.base, *root.members.values())]
        legal = {key for kind in kinds for key in schema.fields(kind)}
        keys = [key for table in contents for key in table if key not in legal]
        near = [(hints.nearest(root.tag_path[0], keys), root) for root in roots]
        misspelt = [f"{root.tag_path[0]} in place of {key}" for key, root in near if key]
        return None, next(iter(misspelt), None)
    tag = next(tag for table in contents if (tag := parts[0].tag_of(table)) is not None)
    article = "an" if parts[0].name[0] in "aeiou" else "a"
    note = f"this looks like {article} {parts[0].name} ({tag}), which is a part of an experiment"
    home = next((path for root in roots if (path := _home(parts[0], root.base))), None)
    return note, _naming(file, home) if home else None


def _naming(file: str, home: Path) -> str:
    """How an experiment takes a part from a file."""
    line = f'include = [{{ path = "{file}", at = "{format_path(home)}" }}]'
    for key, mount in layers.PATH_KEYS.items():
        if mount == home:
            line = f'{key} = "{file}"'
    return f"in an experiment's file, {line}"


def _home(family: Family, root: type) -> Path | None:
    """The shortest path below a root at which a member of the family may stand."""
    ahead: list[tuple[Path, Slot]] = [((), schema.struct_slot(root))]
    seen: set[type] = set()
    for path, slot in ahead:
        if path and slot.family is family:
            return path
        for cls in slot.structs:
            if cls not in seen:
                seen.add(cls)
                ahead += [((*path, key), field.slot) for key, field in schema.fields(cls).items()]
    return None

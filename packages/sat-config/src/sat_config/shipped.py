"""The documents that ship with the package, each under a name of its own: `sat:NAME`.

A name without a folder is a model's: `sat:stable_audio_2_0_vae`, but `sat:datasets/s3_wds_example`.
Experiments are the templates of `sat-config init`, and layers like the others.
"""

import os
from collections.abc import Iterator

PREFIX = "sat:"
FOLDER = os.path.join(os.path.dirname(__file__), "presets")
KINDS = ("models", "datasets", "experiments")


def names() -> list[str]:
    """All presets, as a document names them."""
    return [PREFIX + name for name in sorted(_names())]


def find(name: str) -> str | None:
    """The file of a preset; None if there is none of this name."""
    wanted = name.removeprefix(PREFIX)
    if wanted not in _names():
        return None
    kind, _, stem = wanted.rpartition("/")
    return os.path.join(FOLDER, kind or KINDS[0], f"{stem}.toml")


def _names() -> Iterator[str]:
    for kind in KINDS:
        for file in os.listdir(os.path.join(FOLDER, kind)):
            stem, suffix = os.path.splitext(file)
            if suffix == ".toml":
                yield stem if kind == KINDS[0] else f"{kind}/{stem}"


def schema_line(folder: str) -> str:
    """First line of an experiment in `folder`: where editors find this package's schema.

    It is the schema that demands no key: what a file includes has some of them, and what is being
    written lacks some for a while.
    """
    schema = os.path.join(FOLDER, "schemas", "layer.schema.json")
    relative = os.path.relpath(schema, folder)
    beyond = relative.startswith(os.pardir)
    return f"#:schema {schema if beyond else relative}".replace(os.sep, "/")

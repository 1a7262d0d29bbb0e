"""What the commands have in common: which files and overrides a command line means.

Besides `FILE --override --layer`, the flags of SAT's own scripts are understood: every run key is a
flag in kebab case (`--batch-size 8`), and becomes an override.
"""

import argparse
from collections.abc import Mapping, Sequence

import msgspec

from sat_config import layers, schema
from sat_config.run import Experiment


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to load.

    Attributes:
        file: The experiment file; None where flags alone say everything.
        layers: Further files, laid on top in order.
        overrides: Override words, in order.
    """

    file: str | None
    layers: tuple[str, ...]
    overrides: tuple[str, ...]


def add_arguments(
    parser: argparse.ArgumentParser, renamed: Mapping[str, str] | None = None
) -> None:
    """Add what says which experiment to load.

    Args:
        parser: The command's parser.
        renamed: SAT flags of this command whose key has another path here, such as
            `{"ckpt-path": "preencode.checkpoint"}`.
    """
    parser.add_argument("file", nargs="?", metavar="FILE", help="experiment (.toml, .json, .ini)")
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="set (or, as -PATH, remove) one value; may be repeated",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="FILE",
        help="lay a further file on top; may be repeated",
    )
    group = parser.add_argument_group(
        "stable-audio-tools' flags", "each is short for an override of the same name"
    )
    for flag, path in sat_flags(renamed).items():
        group.add_argument(
            f"--{flag}",
            dest="overrides",
            action=_AsOverride,
            path=path,
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
        )


def sat_flags(renamed: Mapping[str, str] | None = None) -> dict[str, str]:
    """Flag to the path it sets: the layer keys and every scalar run key."""
    keys = [*layers.PATH_KEYS]
    keys += [key for key, field in schema.fields(Experiment).items() if not field.slot.structs]
    keys.remove("ignored")
    flags = {key.replace("_", "-"): key for key in keys}
    flags["config-file"] = "include"
    return {**flags, **(renamed or {})}


class _AsOverride(argparse.Action):
    """A flag that appends to the overrides, in the order of the command line."""

    def __init__(self, option_strings: Sequence[str], dest: str, path: str, **rest: object) -> None:
        super().__init__(option_strings, dest, **rest)  # type: ignore[arg-type]
        self.path = path

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if values:  # SAT's files write '' for what is not there
            namespace.override = [*namespace.override, f"{self.path}={values}"]


def request(arguments: argparse.Namespace) -> Request:
    """What the parsed arguments ask to load."""
    return Request(
        file=arguments.file,
        layers=tuple(arguments.layer),
        overrides=tuple(arguments.override),
    )

"""What the commands have in common: which files and overrides a command line means.

Besides `FILE --override --layer`, the flags of stable-audio-tools' own scripts are understood:
every run key is a flag in kebab case (`--batch-size 8`), and each is short for an override.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from sat_config import layers, schema
from sat_config.run import Experiment

PREENCODE_FLAGS = {
    "ckpt-path": "preencode.checkpoint",
    "output-path": "preencode.output_path",
    "sample-size": "preencode.sample_size",
    "limit-batches": "preencode.limit_batches",
}
"""Flags of SAT's pre_encode.py, and the keys that they set here."""

PREENCODE_SWITCHES = {
    "model-half": "preencode.model_half",
    "is-discrete": "preencode.is_discrete",
    "shuffle": "preencode.shuffle",
}
"""Flags of SAT's pre_encode.py without a value, and the keys that they set here."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to load.

    Attributes:
        file: The experiment file; None where flags alone say everything.
        layers: Further files, laid on top in order.
        overrides: Override words, in order.
    """

    file: str | None
    layers: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """The arguments that ask for the same."""
        flags = [("--layer", name) for name in self.layers]
        flags += [("--override", word) for word in self.overrides]
        return [*([self.file] if self.file else []), *(part for flag in flags for part in flag)]


def add_overriding(parser: argparse.ArgumentParser) -> None:
    """Add `--override` and `--layer`."""
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


def add_loading(
    parser: argparse.ArgumentParser,
    *,
    flags: Mapping[str, str] | None = None,
    switches: Mapping[str, str] | None = None,
) -> None:
    """Add everything that says which experiment to load: FILE, `--override` and SAT's flags."""
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="the experiment: TOML, JSON, or a defaults.ini"
    )
    add_overriding(parser)
    parser.usage = "%(prog)s [OPTIONS] [FILE]"
    parser.formatter_class = partial(argparse.HelpFormatter, max_help_position=42)
    add_flags_of_sat(parser, flags=flags, switches=switches)


def add_flags_of_sat(
    parser: argparse.ArgumentParser,
    *,
    flags: Mapping[str, str] | None = None,
    switches: Mapping[str, str] | None = None,
) -> None:
    """Add the flags of SAT's scripts; each becomes a word of `override`.

    Args:
        parser: The command's parser.
        flags: SAT's flags whose key has another path here: `{"ckpt-path": "preencode.checkpoint"}`.
        switches: SAT's flags without a value, and the path that each sets to true.
    """
    parser.set_defaults(override=[])
    group = parser.add_argument_group(
        "flags of stable-audio-tools, and further ones in their way",
        "Each is short for an override of the key that is named beside it.",
    )
    run = {"config-file": "include", **{key.replace("_", "-"): key for key in settable()}}
    for flag, path in {**run, **(flags or {})}.items():
        _add_flag(group, flag, path, nargs=None)
    for flag, path in (switches or {}).items():
        _add_flag(group, flag, path, nargs=0)


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> tuple[argparse.Namespace, Request]:
    """Parse a command line of a parser with `add_loading`.

    Raises:
        SystemExit: With status 2, for wrong usage.
    """
    arguments = parser.parse_args(join_overrides(sys.argv[1:] if argv is None else argv))
    if arguments.file is None and not arguments.layer and not arguments.override:
        parser.error("no experiment is given: name a FILE, or --model-config and the like")
    return arguments, Request(
        file=arguments.file, layers=tuple(arguments.layer), overrides=tuple(arguments.override)
    )


def join_overrides(argv: Sequence[str]) -> list[str]:
    """`--override -PATH` as one word, since argparse takes a dash for the next option."""
    words = list(argv)
    for at in range(len(words) - 2, -1, -1):
        if words[at] == "--override":
            words[at : at + 2] = [f"--override={words[at + 1]}"]
    return words


def settable() -> tuple[str, ...]:
    """What a flag or a line of `defaults.ini` can set: layers, and run keys of one value."""
    single = (
        key
        for key, field in schema.fields(Experiment).items()
        if not field.slot.structs and not field.slot.values
    )
    return (*layers.PATH_KEYS, *single)


def _add_flag(group: argparse._ArgumentGroup, flag: str, path: str, nargs: int | None) -> None:
    group.add_argument(
        f"--{flag}",
        action=_AsOverride,
        const=path,
        nargs=nargs,
        default=argparse.SUPPRESS,
        metavar="VALUE",
        help=path if nargs is None else f"{path} = true",
    )


class _AsOverride(argparse.Action):
    """A flag that joins the overrides, in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        value = "true" if self.nargs == 0 else str(values)
        if value:  # SAT's files write '' for what is not there
            namespace.override = [*namespace.override, f"{self.const}={value}"]

"""`sat-config migrate`: an experiment from stable-audio-tools' files."""

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from sat_config import commandline, errors, files
from sat_config.errors import UserError

if TYPE_CHECKING:
    from sat_config import migrate

DESCRIPTION = """\
Write one experiment in TOML from a defaults.ini, or from the flags of stable-audio-tools' train.py,
all of which are understood (--model-config, --dataset-config, --batch-size ...).
"""

EPILOG = """\
examples:
  sat-config migrate defaults.ini
  sat-config migrate defaults.ini --model-config vae.json --dataset-config music.json
  sat-config migrate --model-config vae.json --pre-encode 'python pre_encode.py --ckpt-path ...'
"""


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser(
        "migrate",
        usage="%(prog)s [OPTIONS] [FILE ...]",
        help="write an experiment from stable-audio-tools' files",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a defaults.ini or a model JSON; each by itself"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="what to write (FILE.toml, or experiment.toml)"
    )
    parser.add_argument(
        "--inline", action="store_true", help="write model and datasets out, not their files' names"
    )
    parser.add_argument(
        "--pre-encode", metavar="LINE", default="", help="a command line of pre_encode.py, quoted"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; status 1 if that changes a file"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that differs")
    commandline.add_flags_of_sat(parser)
    parser.set_defaults(run=run, usage=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Migrate each file; 0 if all went well and, with --check, if nothing is to be done."""
    words = [word for word in arguments.override if not word.startswith("include=")]
    named = [word.removeprefix("include=") for word in arguments.override if word not in words]
    inputs = [*arguments.files, *named] or [None]
    if inputs == [None] and not words and not arguments.pre_encode:
        arguments.usage("nothing to migrate: name a defaults.ini, or --model-config and the like")
    if len(inputs) > 1 and arguments.output:
        arguments.usage("--output takes one file")
    return max([_migrate(name, words, arguments) for name in inputs])


def _migrate(name: str | None, words: list[str], arguments: argparse.Namespace) -> int:
    from sat_config import migrate

    output = arguments.output or f"{os.path.splitext(name or 'experiment')[0]}.toml"
    if name is not None and name.lower().endswith(".toml"):
        print(f"{name}: nothing to migrate")
        return 0
    if name is not None and name.lower().endswith(".json"):
        name, words = None, [f"model_config={name}", *words]
    try:
        found = migrate.migrate(
            name,
            words,
            encode=migrate.words_of_preencode(arguments.pre_encode),
            output=output,
            written_out=arguments.inline,
        )
        return _put(found, output, arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def _put(found: "migrate.Migration", output: str, arguments: argparse.Namespace) -> int:
    """Write it, unless it is there already or another file is in its place."""
    old = _existing(output)
    if old is not None and _lines(old) == _lines(found.text):
        print(f"{output}: up to date")
        return 0
    if arguments.check:
        import difflib  # slow to import, and seldom needed

        sys.stdout.writelines(
            difflib.unified_diff(_lines(old or ""), _lines(found.text), output, "migrated")
        )
        state = "is not there" if old is None else "is not what the migration gives"
        print(f"{output}: {state}; sat-config migrate without --check writes it", file=sys.stderr)
        return 1
    if old is not None and not arguments.force:
        raise UserError(f"{output}: is there and differs; --force writes over it")
    if found.problems:
        errors.report(found.problems)
    try:
        files.write_whole(output, found.text)
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror}") from None
    print(f"{output}: written; next: sat-config validate {output}")
    return 0


def _existing(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is there and cannot be read: {error}") from None


def _lines(text: str) -> list[str]:
    """The lines that count: where the schema lies differs from machine to machine."""
    return [line for line in text.splitlines(keepends=True) if not line.startswith("#:schema")]

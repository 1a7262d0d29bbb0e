"""`sat-config show FILE`: the resolved experiment."""

import argparse
import sys
from typing import Any, Literal

import msgspec

from sat_config import commandline, encode, errors, loading


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser("show", help="print the resolved experiment")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text is TOML")
    parser.add_argument("--origins", action="store_true", help="who set each value, instead")
    commandline.add_overriding(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the experiment, or the origin of each of its values."""
    report = loading.check(arguments.file, arguments.override, arguments.layer)
    if report.problems:
        errors.report(report.problems)
    if report.config is None:
        return 1
    if arguments.origins:
        _print_origins(report.origins, as_json=arguments.format == "json")
    else:
        format: Literal["toml", "json"] = "json" if arguments.format == "json" else "toml"
        sys.stdout.write(encode.dumps(report.config, format))
    return 0


def _print_origins(origins: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(origins)).decode() + "\n")
        return
    width = max(map(len, origins))
    for path, origin in origins.items():
        print(f"{path:<{width}}  {origin}")

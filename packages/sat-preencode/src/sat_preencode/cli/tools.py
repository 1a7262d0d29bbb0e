"""`sat-preencode verify`, `stats` and `merge`: what is done with finished folders."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sat_config.errors import UserError

TOOLS = ("verify", "stats", "merge")


def run_tool(words: Sequence[str]) -> int:
    """Run one of them.

    Returns:
        The exit status: 0 for fine, 1 for a folder that is damaged or cannot be used.

    Raises:
        SystemExit: With status 2, for wrong usage.
    """
    arguments = _parser().parse_args(words)
    try:
        if arguments.tool == "verify":
            return _verify(arguments.folder, decode=arguments.decode)
        if arguments.tool == "stats":
            return _stats(arguments.folder)
        return _merge(arguments.output, arguments.folders)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sat-preencode")
    tools = parser.add_subparsers(dest="tool", required=True)
    verify = tools.add_parser("verify", help="compare a folder with what was written")
    verify.add_argument("folder", type=Path)
    verify.add_argument(
        "--decode",
        type=int,
        default=0,
        metavar="N",
        help="also decode N items and compare them with their sources",
    )
    stats = tools.add_parser("stats", help="say what a folder holds")
    stats.add_argument("folder", type=Path)
    merge = tools.add_parser("merge", help="join finished folders of the same settings")
    merge.add_argument("output", type=Path)
    merge.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    return parser


def _verify(folder: Path, *, decode: int) -> int:
    from sat_preencode.folders import verify
    from sat_preencode.records import read_folder

    faults = 0
    for fault in verify(folder):
        faults += 1
        print(fault, file=sys.stderr)
    items = len(read_folder(folder)[1])
    print(f"{items} items, {faults or 'no'} fault{'' if faults == 1 else 's'}")
    if faults:
        return 1
    if decode:
        from sat_preencode.progress import Reporter
        from sat_preencode.roundtrip import decode_some

        for found in decode_some(folder, count=decode, reporter=Reporter()):
            print(f"{found.id}: decoded, {found.error_db:.1f} dB of error against the source")
    return 0


def _stats(folder: Path) -> int:
    from sat_preencode.folders import describe

    print("\n".join(describe(folder).lines()))
    return 0


def _merge(output: Path, folders: Sequence[Path]) -> int:
    from sat_preencode.merging import merge

    items = merge(output, folders)
    print(f"{items} items in {output}")
    return 0

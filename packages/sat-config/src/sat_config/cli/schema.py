"""`sat-config schema`: JSON Schemas for editors, of all that is installed."""

import argparse
import os
import sys
from typing import Any

import msgspec

from sat_config import files, jsonschema


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser(
        "schema",
        help="write JSON Schemas for editors",
        description="Write the JSON Schemas of all documents, plug-ins' types included. Without"
        " --out, print that of one document.",
    )
    parser.add_argument("document", nargs="?", choices=jsonschema.DOCUMENTS, default="experiment")
    parser.add_argument("--out", metavar="FOLDER", help="write one file per document there")
    parser.add_argument("--check", action="store_true", help="with --out: compare only")
    parser.set_defaults(run=run, usage=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Print, write or compare; 1 if a file is old or cannot be written."""
    if arguments.check and not arguments.out:
        arguments.usage("--check compares the files of a folder: name it with --out")
    if not arguments.out:
        sys.stdout.write(text_of(arguments.document))
        return 0
    paths = {
        name: os.path.join(arguments.out, f"{name}.schema.json") for name in jsonschema.DOCUMENTS
    }
    if arguments.check:
        return _compare(paths)
    try:
        os.makedirs(arguments.out, exist_ok=True)
        for name, path in paths.items():
            files.write_whole(path, text_of(name))
            print(path)
    except OSError as error:
        print(f"{arguments.out}: cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def text_of(document: str) -> str:
    """The schema of a kind of document, as its file has it."""
    return (
        msgspec.json.format(msgspec.json.encode(jsonschema.document_schema(document))).decode()
        + "\n"
    )


def _compare(paths: dict[str, str]) -> int:
    old = [path for name, path in paths.items() if _read(path) != text_of(name)]
    for path in old:
        print(f"{path}: old; write it with sat-config schema --out", file=sys.stderr)
    return 1 if old else 0


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None

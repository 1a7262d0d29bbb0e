"""`sat-config init`: a commented experiment to start from."""

import argparse
import os
import re
import sys
from typing import Any

from sat_config import files, hints, shipped

TEMPLATES = (
    "autoencoder",
    "latents",
    "text_to_audio",
    "inpainting",
    "codec",
    "lm",
    "preencode",
    "fine_tune",
)
"""In the order in which somebody new would want them."""


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser(
        "init",
        help="write a commented experiment to start from",
        description="Write a commented experiment to start from. Without TEMPLATE, list them.",
    )
    parser.add_argument("template", nargs="?", metavar="TEMPLATE")
    parser.add_argument("file", nargs="?", metavar="FILE", help="what to write (TEMPLATE.toml)")
    parser.set_defaults(run=run, usage=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Write the template, or list all; 1 if there is a file of that name."""
    name = arguments.template
    if name is None:
        _list()
        return 0
    if name not in TEMPLATES:
        near = hints.nearest(name, TEMPLATES)
        meant = f"; was {near} meant?" if near else ""
        arguments.usage(f"no template is called {name!r}{meant} There are: {', '.join(TEMPLATES)}")
    return _write(name, arguments.file or f"{name}.toml")


def _list() -> None:
    width = max(map(len, TEMPLATES))
    for name in TEMPLATES:
        print(f"{name:<{width}}  {_summary(_text(name))}")
    print("\nsat-config init TEMPLATE [FILE] writes one.")


def _write(name: str, file: str) -> int:
    if os.path.lexists(file):
        print(f"{file}: is there already; name another file", file=sys.stderr)
        return 1
    text = _text(name).replace(f"{name}.toml", file)
    try:
        files.write_whole(file, f"{shipped.schema_line(os.path.dirname(file) or '.')}\n{text}")
    except OSError as error:
        print(f"{file}: cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{file}: written")
    print("next: change the lines marked <-, then" if "<-" in text else "next:")
    for command in re.findall(r"^#   (sat-.+?)  +#", text, re.MULTILINE):
        print(f"  {command}")
    return 0


def _text(name: str) -> str:
    with open(
        os.path.join(shipped.FOLDER, "experiments", f"{name}.toml"), encoding="utf-8"
    ) as file:
        return file.read()


def _summary(text: str) -> str:
    """The first sentence of the opening comment."""
    opening = re.match(r"(# .*\n)+", text)
    words = " ".join(opening[0].replace("# ", "").split()) if opening else ""
    return words.partition(". ")[0].removesuffix(".")

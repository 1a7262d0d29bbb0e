"""Write the reference page of problem codes, and the expected output of each example of a mistake.

    python tools/problems_page.py            # write docs/reference/problems.md
    python tools/problems_page.py --accept   # first take what the command says now as expected

The examples are the transcripts in packages/sat-config/tests/mistakes: files, a command, and what
it says. The tests run every one of them.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from sat_config import cli, plugins
from sat_config.codes import CODES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "problems.md"
MISTAKES = ROOT / "packages" / "sat-config" / "tests" / "mistakes"

HEAD = """\
# Problems

<!-- Written by tools/problems_page.py; do not edit. -->

What reading and checking a document can find, by code. Broken rules between keys have codes of
their own: see [rules](rules.md). `sat-config validate --format json` gives the same as data. Each
example is run by the tests.
"""


def parse(text: str) -> tuple[dict[str, str], list[str], str]:
    """The files, the command's words and the expected output of a transcript."""
    files_text, _, rest = text.partition("$ sat-config ")
    command, _, expected = rest.partition("\n")
    parts = re.split(r"^--- (\S+)\n", files_text, flags=re.MULTILINE)
    words = re.findall(r"'[^']*'|\S+", command)
    return (
        dict(zip(parts[1::2], parts[2::2], strict=True)),
        [word.strip("'") for word in words],
        expected,
    )


def run(files: dict[str, str], words: list[str]) -> str:
    """What the command says, in a folder that has these files alone; long lists are cut short."""
    here = Path.cwd()
    out = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode().decode("unicode_escape").encode("latin-1")
                             if name.startswith("raw") else content.encode())  # fmt: skip
        os.chdir(folder)
        try:
            with contextlib.redirect_stderr(out), contextlib.redirect_stdout(io.StringIO()):
                cli.main(words)
        finally:
            os.chdir(here)
        said = out.getvalue().replace(os.path.realpath(folder) + "/", "").replace(f"{folder}/", "")
        return re.sub(r"(= allowed: \w+, ).* and \d+ more$", r"\1...", said, flags=re.MULTILINE)


def page() -> str:
    """The whole page."""
    blocks = []
    for code, sentence in sorted(CODES.items()):
        path = MISTAKES / f"{code}.txt"
        example = path.read_text(encoding="utf-8").rstrip() if path.exists() else ""
        shown = f"\n```text\n{example}\n```\n" if example else ""
        blocks.append(f"\n## {code}\n\n{sentence}\n{shown}")
    return HEAD + "".join(blocks)


def accept() -> None:
    """Take what the command says as expected."""
    for path in sorted(MISTAKES.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        files, words, _ = parse(text)
        start = text[: text.index("$ sat-config ")]
        command = text[len(start) :].partition("\n")[0]
        path.write_text(f"{start}{command}\n{run(files, words)}", encoding="utf-8")


if __name__ == "__main__":
    plugins.installed = lambda: iter(())
    if "--accept" in sys.argv:
        accept()
    PAGE.write_text(page(), encoding="utf-8", newline="\n")

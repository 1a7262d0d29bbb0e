"""Run the code blocks of a documentation page, in order, in one folder.

A page that has blocks says in a comment which environment runs them:

    <!-- blocks: config -->                  needs sat-config alone
    <!-- blocks: repo -->                    needs torch and all packages
    <!-- blocks: not run, because ... -->

Then, by language: what has a `title="name"` is written to that file; `python` is executed, all of a
page in one namespace; `bash` is handed to a shell line by line, and a `text` block right behind it
is what those lines print (`...` stands for anything); `toml` and `json` must parse. A block behind
`<!-- not run: why -->` is shown only, and `<!-- run ... -->` is run without being shown.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RUNNABLE = ("python", "bash", "toml", "json", "ini", "yaml")
_BLOCK = re.compile(
    r"^(?P<note><!-- not run: [^>]*-->\n+)?"
    r"```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<text>.*?)^```$"
    r"|^<!-- run\n(?P<hidden>.*?)-->$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block: its language, the file that it is, its text, whether it is run, and its line."""

    language: str
    title: str | None
    text: str
    runs: bool
    line: int


class BlockError(AssertionError):
    """A block that does not do what the page says."""


def pages(environment: str) -> list[Path]:
    """The pages whose blocks an environment runs."""
    return [page for page in sorted(DOCS.rglob("*.md")) if environment_of(page) == environment]


def environment_of(page: Path) -> str | None:
    """Where the blocks of a page run; None if it does not say."""
    found = re.search(r"^<!-- blocks: (config|repo|not run, because \S.*) -->$", read(page), re.M)
    return found and found[1].partition(",")[0]


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = read(page)
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["hidden"] is not None:
            yield Block("bash", None, match["hidden"], True, line)
        else:
            title = re.search(r'title="([^"]+)"', match["options"])
            runs = match["note"] is None
            yield Block(match["language"], title and title[1], match["text"], runs, line)


def run(page: Path, folder: Path) -> None:
    """Run the blocks of a page in a folder that has the repository's examples and configs.

    Raises:
        BlockError: A block fails, or prints something else than the page says.
    """
    for name in ("examples", "configs"):
        (folder / name).symlink_to(ROOT / name)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = None
    for block in blocks(page):
        place = f"{page.relative_to(ROOT)}:{block.line}"
        if not block.runs:
            printed = None
        elif block.title is not None:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "bash":
            printed = shell(block.text, folder, place)
        elif block.language == "text" and printed is not None:
            compare(block.text, printed, place)
        else:
            printed = None
            execute(block, namespace, place)


def execute(block: Block, namespace: dict[str, Any], place: str) -> None:
    """Run Python, or read data."""
    try:
        if block.language == "python":
            exec(compile(block.text, place, "exec"), namespace)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
    except Exception as error:
        raise BlockError(f"{place}: {type(error).__name__}: {error}") from error


def shell(text: str, folder: Path, place: str) -> str:
    """Run lines of a shell; one that ends in `# status N` must have that exit status."""
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(folder / "src"), os.environ.get("PYTHONPATH", "")]),
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }
    printed = ""
    for command in text.replace("\\\n", " ").splitlines():
        wanted = re.search(r"# status (\d)$", command)
        done = subprocess.run(
            [shutil.which("bash") or "sh", "-c", command],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        printed += done.stdout
        if done.returncode != int(wanted[1] if wanted else 0):
            said = f"has exit status {done.returncode}:\n{done.stdout}"
            raise BlockError(f"{place}: {command!r} {said}")
    return printed


def compare(expected: str, printed: str, place: str) -> None:
    """Demand that lines were printed, in this order, whatever the width of their spaces."""
    rest = [" ".join(line.split()) for line in printed.splitlines()]
    for line in expected.splitlines():
        pattern = ".*".join(map(re.escape, " ".join(line.split()).split("...")))
        while rest and not re.fullmatch(pattern, rest[0]):
            del rest[0]
        if not rest:
            raise BlockError(f"{place}: {line!r} is not printed here, but\n{printed}")
        if line.strip() != "...":
            del rest[0]

"""Build the documentation's site from docs/ into site/.

    python tools/site.py

The pages are not listed anywhere: sections come in the order below, pages within one by their
titles, those named in FIRST before the others. Broken links and anchors fail.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SECTIONS = {
    "tutorial": "Tutorial",
    "how-to": "How to",
    "explanation": "Explanation",
    "reference": "Reference",
    "results": "Results",
    "schema": "Schema",
}
FIRST = (
    "tutorial/quickstart.md",
    "how-to/your-own-music.md",
    "how-to/layers-and-overrides.md",
    "explanation/from-file-to-trainer.md",
    "reference/index.md",
    "reference/command-line.md",
    "reference/schema/run-keys.md",
    "reference/schema/model-type.md",
    "reference/schema/training.md",
)
"""Pages that open their section."""


def main() -> int:
    """Build it; the status is that of the generator."""
    settings = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    complete = ROOT / ".site.toml"  # paths in it start from its folder
    complete.write_text(settings.replace("[project]\n", f"[project]\n{navigation()}\n", 1))
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    try:
        done = subprocess.run([*command, "--config-file", complete], check=False)
    finally:
        complete.unlink()
    return done.returncode


def navigation() -> str:
    """The list of pages, as a line of the settings."""
    return f"nav = {entries(DOCS)}"


def entries(folder: Path) -> str:
    """What a folder holds, as a list of TOML: its pages, then a section for each of its folders."""
    pages = [
        json.dumps(page.relative_to(DOCS).as_posix())
        for page in sorted(folder.glob("*.md"), key=rank)
    ]
    below = [path for path in folder.iterdir() if path.is_dir() and any(path.rglob("*.md"))]
    known = list(SECTIONS)
    below.sort(key=lambda path: (known.index(path.name) if path.name in known else 99, path.name))
    for path in below:
        name = SECTIONS.get(path.name, path.name.capitalize())
        pages.append(f"{{ {json.dumps(name)} = {entries(path)} }}")
    return f"[{', '.join(pages)}]"


def rank(page: Path) -> tuple[int, str]:
    """Where a page stands in its section."""
    name = page.relative_to(DOCS).as_posix()
    place = FIRST.index(name) if name in FIRST else len(FIRST)
    return place, title(page).lower()


def title(page: Path) -> str:
    """The heading of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return next((line[2:] for line in lines if line.startswith("# ")), page.stem)


if __name__ == "__main__":
    raise SystemExit(main())

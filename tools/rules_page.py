"""Write docs/reference/rules.md from the rules that sat_config has.

    python tools/rules_page.py           # writes the page
    python tools/rules_page.py --check   # fails if it is not current

The first table follows the numbering of stable-audio-tools' own unwritten rules; `rules.toml` has
those that are no rule here.
"""

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sat_config import plugins, rules
from sat_config.rules import Rule

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "rules.md"
TESTS = ROOT / "packages" / "sat-config" / "tests"
COUNT = 62
"""Rules that stable-audio-tools' files have to keep, most of them unchecked there."""

HEAD = """\
# Rules between fields

<!-- Written by tools/rules_page.py; do not edit. -->

What each value allows, but the whole does not. A broken *error* refuses to run a document unless
the file accepts it by name (`[checks] allow = ["SAT-E012"]`); a *warning* never does. Reading a
document alone (`load_model`, `load_dataset`, `decode`) reports both as warnings.

## What stable-audio-tools' files must keep

"Kept" rules are errors, "softened" ones warnings (what breaks there works here), "by type" are
those that a document cannot break, because its types leave no room. What is "gone" is no demand
here at all.

| # | rule | status | code | shown by |
|---|---|---|---|---|
"""

MORE = """
## What we demand beyond that

| code | rule | looks at | level | shown by |
|---|---|---|---|---|
"""


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    text = page()
    if parser.parse_args().check:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        print(f"{PAGE.relative_to(ROOT)} is {'current' if current else 'old: run ' + sys.argv[0]}")
        return 0 if current else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8", newline="\n")
    return 0


def page() -> str:
    """The whole page."""
    plugins.load()
    data = tomllib.loads((ROOT / "tools" / "rules.toml").read_text(encoding="utf-8"))
    tests = dict(tests_by_code())
    numbered = [row for number in range(1, COUNT + 1) for row in rows_of(number, data, tests)]
    further = [
        f"| {rule.code} | {sentence(rule)} | {rule.on.__name__} | {rule.severity} |"
        f" {tests.get(rule.code, '')} |"
        for rule in sorted(rules.RULES.values(), key=lambda rule: (number_of(rule), rule.code))
        if number_of(rule) > COUNT
    ]
    return HEAD + "\n".join(numbered) + "\n" + MORE + "\n".join(further) + "\n"


def rows_of(number: int, data: dict[str, Any], tests: dict[str, str]) -> Iterator[str]:
    """One line per rule of this number, or the one that says why there is none."""
    note = data["notes"].get(str(number))
    ours = sorted((r for r in rules.RULES.values() if number_of(r) == number), key=lambda r: r.code)
    for rule in ours:
        status = "kept" if rule.severity == "error" else "softened"
        text = f"{sentence(rule)} ({note})" if note and rule is ours[0] else sentence(rule)
        yield f"| {number} | {text} | {status} | {rule.code} | {tests.get(rule.code, '')} |"
    for status, table in (("by type", data["types"]), ("gone", data["gone"])):
        if entry := table.get(str(number)):
            reason = f"{entry['sentence']} {entry['reason'][:1].upper()}{entry['reason'][1:]}."
            shown = ", ".join(f"`{test}`" for test in entry["tests"])
            yield f"| {number} | {reason} | {status} | | {shown} |"


def number_of(rule: Rule) -> int:
    """The number in a code."""
    return int(re.sub(r"\D", "", rule.code))


def sentence(rule: Rule) -> str:
    """What a rule demands, as one line of a table."""
    return re.sub(r"\s+", " ", rule.sentence).replace("|", r"\|")


def tests_by_code() -> Iterator[tuple[str, str]]:
    """The first test that names each code, itself or in a table that it is parametrized with."""
    seen: set[str] = set()
    for path in sorted(TESTS.glob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        tests = [node for node in module.body if isinstance(node, ast.FunctionDef)]
        tests = [node for node in tests if node.name.startswith("test_")]
        for holder, codes in _codes(module):
            users = [holder] if isinstance(holder, ast.FunctionDef) else _users(holder, tests)
            for code in codes - seen if users else ():
                seen.add(code)
                yield code, f"`{path.name}::{users[0].name}`"


def _codes(module: ast.Module) -> Iterator[tuple[ast.stmt, set[str]]]:
    for node in module.body:
        texts = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant))
        codes = {
            code
            for text in texts
            if isinstance(text, str)
            for code in re.findall(r"\b[A-Z]+-[EW]\d{3}\b", text)
        }
        if codes:
            yield node, codes


def _users(table: ast.stmt, tests: list[ast.FunctionDef]) -> list[ast.FunctionDef]:
    """Tests that name what a statement assigns."""
    names = {inner.id for inner in ast.walk(table) if isinstance(inner, ast.Name)
             and isinstance(inner.ctx, ast.Store)}  # fmt: skip
    return [
        test
        for test in tests
        if names & {inner.id for inner in ast.walk(test) if isinstance(inner, ast.Name)}
    ]


if __name__ == "__main__":
    raise SystemExit(main())

"""What somebody who made a mistake probably meant."""

import re
from collections.abc import Iterable, Sequence

SHOWN = 12
"""Names that a message lists in full; of longer lists it shows those most like what was found."""


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name most like this one, if any is."""
    if not isinstance(name, str):
        return None
    import difflib

    names = list(known)
    folded = {known_name.lower().replace("-", "_"): known_name for known_name in names}
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return folded.get(name.lower().replace("-", "_")) or (close[0] if close else None)


def choices(names: Sequence[str], like: object) -> str:
    """A list of names for a message; of many, those most like what was found, and how many more.

    Args:
        names: All that is allowed, each as the file would write it.
        like: What was found in place of one.
    """
    if len(names) <= SHOWN:
        return ", ".join(names)
    import difflib

    matcher = difflib.SequenceMatcher(b=str(like).lower())

    def likeness(name: str) -> float:
        matcher.set_seq1(name.lower())
        return -matcher.ratio()

    first = sorted(names, key=likeness)[: SHOWN // 2]
    return f"{', '.join(first)} and {len(names) - len(first)} more"


def one_key(language: str, key: str, value: str) -> str:
    """A table of one key, as a file of the language would write it.

    Args:
        language: That of a `Source`.
        key: The key.
        value: Its value, written.
    """
    if language == "json":
        return f'{{ "{key}": {value} }}'
    return f"{{ {key}: {value} }}" if language == "yaml" else f"{{ {key} = {value} }}"


def accepting(language: str, code: str) -> str:
    """How an experiment in the language, or a command line without one, accepts a broken rule."""
    codes = f'["{code}"]'
    if language == "toml":
        return f"[checks] allow = {codes}"
    if language == "json":
        return f'"checks": {one_key(language, "allow", codes)}'
    if language == "yaml":
        return f"checks: {one_key(language, 'allow', codes)}"
    return f"override checks.allow={codes}"


def for_syntax(language: str, message: str, text: str, offset: int) -> str | None:
    """Advice for a syntax error.

    Args:
        language: "toml" or "json".
        message: The parser's words.
        text: The whole text.
        offset: Where the parser stopped.
    """
    before, after = text[:offset].rstrip(), text[offset : offset + 100]
    if re.search(r"escape|hex value|unescaped", message, re.IGNORECASE):
        return _backslash(language)
    if re.search(r"cannot (overwrite a value|declare .* twice)", message, re.IGNORECASE):
        return "it is there already, further up; keep one of the two"
    if language == "toml" and message.lower() == r"illegal character '\n'":
        return "close the text with a quote; text of several lines has three on each side"
    return _json(before, after) if language == "json" else _toml(before, after)


def _backslash(language: str) -> str:
    quotes = " or put the text in single quotes" if language == "toml" else ""
    return rf"write \\ for one backslash (and / in paths){quotes}"


def _json(before: str, after: str) -> str | None:
    if after.startswith(("//", "/*", "#")):
        return 'JSON has no comments; a key "_comment" is taken as one'
    if after.startswith("'"):
        return "JSON takes double quotes"
    if re.match(r",\s*[]}]", before[-1:] + after) or re.match(r",\s*[]}]", after):
        return "remove the last comma"  # which newer Pythons point at
    if word := re.match(r"(True|False|None)\b", after):
        return {"True": "true", "False": "false", "None": "null"}[word[0]]
    return None


def _toml(before: str, after: str) -> str | None:
    if not before.endswith(("=", "[", ",")):
        return None
    word = re.match(r"[A-Za-z~./][\w~./+-]*", after)
    if word is None:
        return None
    if word[0].lower() in ("true", "false"):
        return word[0].lower()
    if word[0].lower() in ("null", "none", "nil"):
        return "TOML has no null; leave the key out"
    return f'text stands in quotes: "{word[0]}"'

"""The documentation: code blocks that need all packages, and the site as a whole."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs_blocks = tool("docs_blocks")
site = tool("site")


@pytest.mark.parametrize("page", docs_blocks.pages("repo"), ids=lambda page: page.stem)
def test_page_does_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    docs_blocks.run(page, tmp_path)


def test_every_page_with_code_says_where_it_runs():
    """Pages begin with `<!-- blocks: config -->` and the like; tools/docs_blocks.py explains."""
    silent = []
    for page in docs_blocks.DOCS.rglob("*.md"):
        languages = {block.language for block in docs_blocks.blocks(page)}
        if languages & set(docs_blocks.RUNNABLE) and docs_blocks.environment_of(page) is None:
            silent.append(str(page.relative_to(ROOT)))
    assert silent == []


def test_navigation_has_every_page_once_and_sections_in_order():
    text = site.navigation()
    for page in docs_blocks.DOCS.rglob("*.md"):
        assert text.count(f'"{page.relative_to(docs_blocks.DOCS).as_posix()}"') == 1
    places = [
        text.index(f'"{name}"') for name in ("Tutorial", "How to", "Explanation", "Reference")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize("name", site.FIRST)
def test_pages_that_open_a_section_exist(name):
    assert (docs_blocks.DOCS / name).is_file()


def write(folder, text):
    page = folder / "page.md"
    page.write_text(text)
    return page


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
        ("```toml\na = \n```\n", "TOMLDecodeError"),
        ("```json\n{,}\n```\n", "JSONDecodeError"),
        ("```bash\nfalse\n```\n", "has exit status 1"),
        ("```bash\ntrue # status 1\n```\n", "has exit status 0"),
        ("```bash\necho a; echo b\n```\n\n```text\nb\na\n```\n", "'a' is not printed here"),
    ],
)
def test_block_that_fails_is_named(tmp_path, monkeypatch, text, said):
    monkeypatch.setattr(docs_blocks, "ROOT", tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(docs_blocks.BlockError, match=said):
        docs_blocks.run(write(tmp_path, text), tmp_path / "run")


def test_block_is_run_shown_or_both(tmp_path, monkeypatch):
    monkeypatch.setattr(docs_blocks, "ROOT", tmp_path)
    (tmp_path / "run").mkdir()
    text = (
        '```toml title="a/b.toml"\nx = 1\n```\n\n<!-- run\ncat a/b.toml > c\n-->\n\n'
        "<!-- not run: no -->\n```bash\nfalse\n```\n\n"
        "```bash\ncat c\n```\n\n```text\n... = 1\n```\n"
    )
    docs_blocks.run(write(tmp_path, text), tmp_path / "run")
    assert (tmp_path / "run" / "c").read_text() == "x = 1\n"

"""The code blocks of documentation pages that need nothing but this package."""

import importlib.util
import pathlib

import pytest

REPOSITORY = pathlib.Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location(
    "docs_blocks", REPOSITORY / "tools" / "docs_blocks.py"
)
docs_blocks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docs_blocks)

PAGES = docs_blocks.pages("config")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_does_what_it_says(page, here):
    docs_blocks.run(page, here)


def test_there_are_pages():
    assert len(PAGES) >= 5

"""The lines of the documentation work as they stand."""

import doctest
from pathlib import Path

import pytest

from xresdiff.models.zoo import registry

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", ["your-data.rst", "published-models.rst", "coming-from.rst"])
def test_the_lines_of_a_page_work(page, monkeypatch):
    monkeypatch.setenv("XRESDIFF_OFFLINE", "1")
    monkeypatch.setattr(registry, "_registered", {})
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    done = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=flags)
    assert done.attempted > 10
    assert done.failed == 0

"""The lines of the README run as they are written."""

import re
from functools import partial
from pathlib import Path

import matplotlib as mpl

from xresdiff import tutorial

README = Path(__file__).parents[1] / "README.md"


def test_the_ten_lines_work(monkeypatch, tmp_path, capsys):
    """On a smaller field, as the one that is written takes minutes on one core."""
    monkeypatch.chdir(tmp_path)
    small = partial(tutorial.rain_pair, shape=(64, 64))
    monkeypatch.setattr(tutorial, "rain_pair", small)
    _, section = README.read_text().split("## Ten lines that work\n")
    lines = re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)
    with mpl.rc_context({"backend": "agg"}):
        exec(lines, {})
    assert "spread_skill" in capsys.readouterr().out
    assert (tmp_path / "ens.zarr").is_dir()
    assert (tmp_path / "members.png").stat().st_size > 10_000

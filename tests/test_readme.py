"""The lines of the README run as they are written."""

import re
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import xresdiff
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


def test_the_lines_about_your_data_work(monkeypatch, tmp_path):
    """With a file made up like those of ERA5, on a smaller grid, with fewer members."""
    monkeypatch.chdir(tmp_path)
    lat, lon = np.arange(59, 49.9, -0.25), np.arange(352, 364.1, 0.25) % 360
    rain = np.random.default_rng(0).gamma(0.3, 1e-3, (2, lat.size, lon.size)).astype("f4")
    coords = {
        "valid_time": np.array(["2024-07-01T06", "2024-07-01T07"], "M8[ns]"),
        "latitude": lat,
        "longitude": lon,
    }
    dims = ("valid_time", "latitude", "longitude")
    xr.Dataset({"tp": (dims, rain, {"units": "m"})}, coords).to_netcdf("era5.nc")
    _, section = README.read_text().split("## Your data, your grid\n")
    lines = re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)
    small = lines.replace("(512, 512)", "(48, 40)").replace("members=16", "members=2")
    names = {"xr": xr, "xresdiff": xresdiff}
    with pytest.warns(UserWarning, match="smoother than what the model knows"):
        exec(small, names)
    assert dict(names["ens"].sizes) == {"member": 2, "valid_time": 2, "y": 48, "x": 40}
    assert bool(names["ens"].isel(valid_time=0).precip_rate.notnull().all())

"""``ds.resdiff`` tells what it sees: the grid, the other dimensions, the models that fit."""

import numpy as np
import pytest
import xarray as xr

from xresdiff import overview as room
from xresdiff.errors import ModelError


@pytest.fixture(autouse=True)
def only_the_toy(monkeypatch, toy):
    monkeypatch.setattr(room.zoo, "names", lambda: ["toy", "far-away"])
    monkeypatch.setattr(room.zoo, "at_hand", lambda name: name == "toy")
    monkeypatch.setattr(room, "glance", lambda name: toy)


def test_data_that_fit(coarse):
    assert repr(coarse.rename(precip_rate="pr").resdiff) == (
        "resdiff\n"
        "  grid  y (6), x (5), projected, 16 x 16 km\n"
        "  over  time (3)\n"
        "  time  'time'\n"
        "  toy   fits 'pr': ds.resdiff.downscale(model='toy')"
    )


def test_coordinates_are_told_by_their_meaning():
    coords = {
        "lat": [50.0, 50.1],
        "lon": [5.0, 5.1],
        "isobaricInhPa": ("isobaricInhPa", [850.0, 500.0], {"units": "hPa"}),
        "number": [0, 1, 2],
        "step": ("step", np.array([0, 6], "timedelta64[h]")),
        "time": (
            (),
            np.datetime64("2024-07-01", "ns"),
            {"standard_name": "forecast_reference_time"},
        ),
    }
    ds = xr.Dataset(
        {"t": (("number", "step", "isobaricInhPa", "lat", "lon"), np.zeros((3, 2, 2, 2, 2)))}
    )
    shown = repr(ds.assign_coords(coords).resdiff)
    for row in (
        "over       number (3), step (2), isobaricInhPa (2)",
        "start      'time'",
        "lead time  'step'",
        "members    'number'",
        "levels     'isobaricInhPa': 850, 500 hPa",
    ):
        assert row in shown


def test_html_tells_the_same_and_escapes_it(coarse):
    shown = coarse.rename(precip_rate="<b>")["<b>"].resdiff._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    for row in repr(coarse.rename(precip_rate="<b>")["<b>"].resdiff).splitlines()[1:]:
        assert row.split()[0] in shown


def test_an_array_is_told_how_to_fit(coarse):
    shown = repr(coarse.precip_rate.resdiff)
    assert "fits 'precip_rate': da.to_dataset().resdiff.downscale(model='toy')" in shown


@pytest.mark.parametrize("name", [None, "x"])
def test_an_array_without_a_name_of_its_own(coarse, name):
    assert "toy   fits 'unnamed'" in repr(coarse.precip_rate.rename(name).resdiff)


def test_one_misfit(coarse):
    coarse.precip_rate.attrs["units"] = "K"
    last = repr(coarse.resdiff).splitlines()[-1]
    assert last.startswith("  toy   does not fit: variable 'precip_rate' is in 'K'")


def test_several_misfits_stand_below_each_other(coarse):
    coarse = coarse.drop_vars("precip_rate").isel(time=slice(0))
    shown = repr(coarse.resdiff).splitlines()
    assert shown[-3] == "  toy   does not fit, for 2 reasons:"
    assert shown[-2].startswith("        - the variable 'precip_rate'")
    assert shown[-1].startswith("        - there is nothing along 'time'")


def test_data_without_a_grid():
    shown = repr(xr.Dataset({"a": ("t", [1.0])}).resdiff)
    assert "grid  no horizontal coordinates" in shown
    assert "over" not in shown


def test_an_uneven_grid(coarse):
    y = coarse.y.values**3 / 1e9
    assert "projected, no even spacing" in repr(
        coarse.assign_coords(y=("y", y, coarse.y.attrs)).resdiff
    )


def test_looking_computes_nothing(coarse, no_compute):
    flux = coarse.precip_rate.assign_attrs(units="kg m-2 s-1").chunk()
    assert "fits" in repr(coarse.assign(precip_rate=flux).resdiff)


def test_looking_reads_nothing(coarse, tmp_path, monkeypatch):
    coarse.precip_rate.attrs["units"] = "kg m-2 s-1"
    coarse.to_netcdf(tmp_path / "coarse.nc")
    with xr.open_dataset(tmp_path / "coarse.nc") as there:
        assert "fits" in repr(there.resdiff)
        assert not there.precip_rate.variable._in_memory
        assert np.isfinite(there.precip_rate).all()


def test_a_model_that_is_not_translated_yet(coarse, monkeypatch):
    monkeypatch.setattr(room, "glance", lambda name: None)
    assert "toy   not opened yet: xresdiff.open_model('toy')" in repr(coarse.resdiff)


def test_a_broken_registry_is_told_and_no_more(coarse, monkeypatch):
    def broken():
        raise ModelError("registry.toml: no TOML")

    monkeypatch.setattr(room.zoo, "names", broken)
    assert "models  registry.toml: no TOML" in repr(coarse.resdiff)

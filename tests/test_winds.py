"""The energy of flows that have a streamfunction is rotational, of those with a potential not."""

import numpy as np
import pyproj
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError, UnitsError
from xresdiff.verify.spectra.power import spectrum
from xresdiff.verify.spectra.winds import kinetic_energy_spectrum

SHAPE, SPACING_M = (24, 35), (2000.0, 3000.0)
WAVES = [(1, 2, 0.3), (3, -4, 1.0), (0, 5, 2.0), (6, 0, 0.5), (-7, 11, 0.1)]


def gradient(y, x, lengths):
    """Slopes along y and x of a sum of waves that fit into a domain."""
    dy, dx = 0.0, 0.0
    for rows, columns, phase in WAVES:
        ky, kx = 2 * np.pi * rows / lengths[0], 2 * np.pi * columns / lengths[1]
        slope = 1000 * np.sin(ky * y + kx * x + phase)
        dy, dx = dy + ky * slope, dx + kx * slope
    return dy, dx


def flow(kind):
    """Make periodic winds on oblong cells, of a streamfunction, a potential, or both."""
    y, x = (d * np.arange(n) for d, n in zip(SPACING_M, SHAPE, strict=True))
    lengths = [d * n for d, n in zip(SPACING_M, SHAPE, strict=True)]
    dy, dx = gradient(y[:, None], x[None, :], lengths)
    u, v = {"rotational": (-dy, dx), "divergent": (dx, dy), "both": (dx - 2 * dy, dy + 2 * dx)}[
        kind
    ]
    return xr.Dataset(
        {
            "u10": (("y", "x"), u, {"units": "m s-1", "standard_name": "x_wind"}),
            "v10": (("y", "x"), v, {"units": "m s-1", "standard_name": "y_wind"}),
        },
        {"y": ("y", y, {"units": "m"}), "x": ("x", x, {"units": "m"})},
    )


def noise(seed=0, **dims):
    """Draw winds on a grid of 2 km."""
    rng = np.random.default_rng(seed)
    shape = (*dims.values(), 8, 12)
    winds = {
        name: ((*dims, "y", "x"), rng.standard_normal(shape), {"units": "m s-1"}) for name in "uv"
    }
    sides = {d: (d, 2.0 * np.arange(n), {"units": "km"}) for d, n in (("y", 8), ("x", 12))}
    return xr.Dataset(winds, sides)


def polar(named, projected=False):
    """Make a vortex beside the pole, on a plane over it: along the axes, or to east and north."""
    steps = 20.0 * np.arange(-40, 41)
    x, y = np.meshgrid(steps, steps)
    crs = pyproj.CRS("+proj=laea +lat_0=90 +lon_0=0 +R=6371000")
    turn = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    lon, lat = turn.transform(1e3 * x, 1e3 * y)
    from_x, from_y = x - 130, y + 70
    strength = np.exp(-(from_x**2 + from_y**2) / 200**2)
    u, v = -from_y * strength, from_x * strength
    if named is not None:  # east is where the angle around the pole grows
        east = np.array([-y, x]) / np.maximum(np.hypot(x, y), 1e-9)
        here = np.radians(lon[40, 40])  # the pole is on some meridian
        east[:, 40, 40] = np.cos(here), np.sin(here)
        u, v = u * east[0] + v * east[1], v * east[0] - u * east[1]
    attrs = {} if named is None else {"standard_name": f"{named}_wind"}
    other = {} if named is None else {"standard_name": "northward_wind"}
    dims = ("y", "x") if projected else ("j", "i")
    units = {"units": "m s-1"}
    ds = xr.Dataset({"u": (dims, u, units | attrs), "v": (dims, v, units | other)})
    if projected:
        sides = {d: (d, 1e3 * steps, {"units": "m"}) for d in "yx"}
        return ds.assign_coords(sides).assign_coords(crs=((), 0, crs.to_cf()))
    return ds.assign_coords(lat=(dims, lat), lon=(dims, lon))


def in_units(ds, units="m s-1"):
    """Say what units all variables are in."""
    return ds.assign({name: wind.assign_attrs(units=units) for name, wind in ds.items()})


def shares(energy):
    """Sum up the parts, as shares of the whole."""
    summed = energy.sum("wavenumber")
    return {
        str(p): float(summed.sel(part=p) / summed.sel(part="total")) for p in energy["part"].values
    }


class TestWhole:
    @pytest.mark.parametrize("window", ["dct", "hann", None])
    def test_is_half_the_sum_of_both_spectra(self, window):
        ds = noise(time=2, level=3)
        energy = kinetic_energy_spectrum(ds, window=window)
        both = (spectrum(ds.u, window=window) + spectrum(ds.v, window=window)) / 2
        np.testing.assert_allclose(energy, both)
        assert energy.dims == ("time", "level", "wavenumber")

    def test_sums_to_the_energy_without_the_mean_wind(self):
        ds = in_units(noise(time=2) + 20)
        energy = kinetic_energy_spectrum(ds)
        np.testing.assert_allclose(
            energy.sum("wavenumber"), (ds.u.var(("y", "x")) + ds.v.var(("y", "x"))) / 2
        )
        assert energy.name == "kinetic_energy"
        assert energy.attrs == {
            "long_name": "kinetic energy per wavenumber bin",
            "units": "m2 s-2",
        }
        assert energy.wavelength[-1] == 4.0

    def test_converts_knots(self):
        ds = noise()
        knots = in_units(ds / 0.514444, "knots")
        np.testing.assert_allclose(
            kinetic_energy_spectrum(knots), kinetic_energy_spectrum(ds), rtol=1e-5
        )
        with pytest.raises(UnitsError):
            kinetic_energy_spectrum(in_units(ds, "K"))


class TestSplit:
    @pytest.mark.parametrize("kind", ["rotational", "divergent"])
    def test_finds_the_part_that_there_is(self, kind):
        found = shares(kinetic_energy_spectrum(flow(kind), split=True, window=None))
        assert found[kind] == pytest.approx(1, abs=1e-12)

    def test_finds_the_share_of_each_where_it_is(self):
        energy = kinetic_energy_spectrum(flow("both"), split=True, window=None)
        alone = kinetic_energy_spectrum(flow("divergent"), split=True, window=None).sel(
            part="total"
        )
        np.testing.assert_allclose(energy.sel(part="divergent"), alone, atol=1e-12)
        np.testing.assert_allclose(energy.sel(part="rotational"), 4 * alone, atol=1e-12)

    @pytest.mark.parametrize("window", ["hann", None])
    def test_the_parts_sum_to_the_whole(self, window):
        ds = noise(time=3)
        energy = kinetic_energy_spectrum(ds, split=True, window=window)
        assert energy.dims == ("time", "part", "wavenumber")
        assert energy["part"].values.tolist() == ["total", "rotational", "divergent"]
        total, rotational, divergent = energy.transpose("part", ...)
        np.testing.assert_array_equal(total, rotational + divergent)
        np.testing.assert_allclose(total, kinetic_energy_spectrum(ds, window=window))

    @pytest.mark.parametrize("order", [("y", "x"), ("x", "y")])
    @pytest.mark.parametrize("turned", [["y"], ["x"], ["y", "x"]])
    def test_knows_which_way_the_sides_run(self, turned, order):
        ds = flow("rotational").isel({side: slice(None, None, -1) for side in turned})
        ds = ds.transpose(*order)
        for options in ({}, {"sides": order}, {"sides": ("x", "y"), "spacing_km": (3.0, 2.0)}):
            energy = kinetic_energy_spectrum(ds, split=True, window=None, **options)
            assert shares(energy)["rotational"] == pytest.approx(1, abs=1e-12)

    @pytest.mark.parametrize("flat", [True, False])
    def test_of_latitudes_from_north_to_south(self, flat):
        lat, lon = (
            0.02 * np.arange(24)[::-1] - 0.23,
            (179.7 + 0.02 * np.arange(35) + 180) % 360 - 180,
        )
        dy, dx = gradient(lat[:, None], 0.02 * np.arange(35), (0.02 * 24, 0.02 * 35))
        table = {"ua": (("lat", "lon"), -dy), "va": (("lat", "lon"), dx)}
        ds = in_units(xr.Dataset(table, {"lat": lat, "lon": lon}))
        if not flat:
            plane = xr.broadcast(ds.lat, ds.lon)
            ds = ds.drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
            both = {n: (("j", "i"), c.values) for n, c in zip(("lat", "lon"), plane, strict=True)}
            ds = ds.assign_coords(both)
        energy = kinetic_energy_spectrum(ds, split=True, window=None)
        assert shares(energy)["rotational"] == pytest.approx(1, abs=1e-5)

    def test_of_a_vortex_in_the_middle(self):
        y, x = np.mgrid[-32:32, -40:40] + 0.5
        wind = np.exp(-(x**2 + y**2) / 50)
        table = {"u": (("y", "x"), -y * wind), "v": (("y", "x"), x * wind)}
        ds = in_units(xr.Dataset(table))
        energy = kinetic_energy_spectrum(ds, split=True, sides=("y", "x"), spacing_km=1.0)
        assert shares(energy)["rotational"] > 0.98

    @pytest.mark.parametrize("turned", [[], ["j"], ["i"], ["j", "i"]])
    def test_of_a_grid_over_the_pole(self, turned):
        ds = polar(named=None).isel({side: slice(None, None, -1) for side in turned})
        energy = kinetic_energy_spectrum(ds, split=True)
        assert shares(energy)["rotational"] > 0.98

    @pytest.mark.parametrize("turned", [[], ["j"], ["i"], ["j", "i"]])
    def test_turns_a_wind_to_the_east_and_north_on_a_grid_over_the_pole(self, turned):
        ds = polar(named="eastward").isel({side: slice(None, None, -1) for side in turned})
        energy = kinetic_energy_spectrum(ds, split=True)
        assert shares(energy)["rotational"] > 0.98

    def test_turns_a_wind_to_the_east_and_north_where_the_grid_mapping_tells(self):
        ds = polar(named="eastward", projected=True)
        assert shares(kinetic_energy_spectrum(ds, split=True))["rotational"] > 0.98
        with pytest.raises(InputError, match="standard_name'] = 'x_wind'"):
            kinetic_energy_spectrum(ds.drop_vars("crs"), split=True)
        holed = polar(named="eastward")
        holed["lat"][0, 0] = np.nan
        with pytest.raises(InputError, match=r"missing at some points.*= 'x_wind'"):
            kinetic_energy_spectrum(holed, split=True)
        as_it_is = kinetic_energy_spectrum(ds.drop_vars("crs"))  # the whole needs no direction
        xr.testing.assert_allclose(as_it_is, kinetic_energy_spectrum(ds).drop_vars("crs"))

    def test_a_member_dimension_may_be_called_part_unless_split(self):
        ds, other = noise(part=2), noise(member=2)
        xr.testing.assert_equal(
            kinetic_energy_spectrum(ds), kinetic_energy_spectrum(other).rename(member="part")
        )
        with pytest.raises(InputError, match=r"rename\(part='member'\)"):
            kinetic_energy_spectrum(ds, split=True)

    def test_refuses_the_cosine_transform(self):
        with pytest.raises(InputError, match=r"cannot split a wind.*window='hann'"):
            kinetic_energy_spectrum(noise(), split=True, window="dct")


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("chunks", [{"time": 1}, {"y": 3, "x": 5}])
def test_is_lazy_and_the_same_for_any_chunks(split, chunks):
    ds = noise(time=2)
    with raise_if_dask_computes():
        lazy = kinetic_energy_spectrum(ds.chunk(chunks), split=split)
    assert lazy.chunks
    xr.testing.assert_allclose(lazy, kinetic_energy_spectrum(ds, split=split))


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("name", ["u", "v"])
def test_missing_values_of_either_make_it_missing(split, name):
    ds = noise(time=2)
    ds[name][0, 3, 3] = np.nan
    energy = kinetic_energy_spectrum(ds, split=split)
    assert energy.isel(time=0).isnull().all()
    assert energy.isel(time=1).notnull().all()


class TestNames:
    def test_standard_names_come_first(self):
        ds = noise().rename(u="wind_1", v="wind_2")
        ds.wind_1.attrs["standard_name"] = "eastward_wind"
        ds.wind_2.attrs["standard_name"] = "northward_wind"
        expected = kinetic_energy_spectrum(noise())
        found = kinetic_energy_spectrum(ds.assign(noise(1).data_vars))
        xr.testing.assert_identical(found, expected)

    @pytest.mark.parametrize("names", [("u10m", "v10m"), ("10u", "10v"), ("x_wind", "y_wind")])
    def test_habitual_names(self, names):
        ds = noise().rename(dict(zip("uv", names, strict=True))).assign(t=noise().u)
        xr.testing.assert_identical(kinetic_energy_spectrum(ds), kinetic_energy_spectrum(noise()))

    def test_of_several_winds_one_is_named(self):
        ds = noise().assign(noise(1).rename(u="u10", v="v10").data_vars)
        with pytest.raises(InputError, match=r"more than one wind.*u='u10', v='v10'"):
            kinetic_energy_spectrum(ds)
        found = kinetic_energy_spectrum(ds, u="u10", v="v10")
        xr.testing.assert_identical(found, kinetic_energy_spectrum(noise(1)))

    def test_of_two_of_one_standard_name_one_is_named(self):
        ds = noise()
        for name, side in (("u", "eastward"), ("v", "northward")):
            ds[name].attrs["standard_name"] = f"{side}_wind"
        ds = ds.assign(u100=ds.u, v100=ds.v)
        with pytest.raises(InputError, match=r"more than one wind.*u='u', v='v'"):
            kinetic_energy_spectrum(ds)

    @pytest.mark.parametrize(
        ("ds", "options", "message"),
        [
            (noise()[["u"]], {}, r"no wind along .*name its components: u='u10', v='v10'"),
            (noise(), {"u": "u"}, "name both"),
            (noise(), {"u": "u", "v": "w"}, "v='w' are not two variables"),
            (noise().u, {}, "two variables of a Dataset, not a DataArray"),
            (
                noise(time=2).assign(v=noise().v),
                {},
                r"'u' is along \('time', 'y', 'x'\), 'v' along",
            ),
        ],
    )
    def test_refuses_what_is_no_wind(self, ds, options, message):
        with pytest.raises(InputError, match=message):
            kinetic_energy_spectrum(ds, **options)

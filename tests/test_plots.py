"""Figures show what they say, compute what they show, and need no display. No pixels compared."""

import inspect
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import xarray as xr

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.colors import BoundaryNorm, to_rgb  # noqa: E402

from tests.helpers import raise_if_dask_computes  # noqa: E402
from tests.toys import fixed_card, toy_card  # noqa: E402
from xresdiff import plot  # noqa: E402
from xresdiff.errors import InputError  # noqa: E402
from xresdiff.models.card import FixedTarget  # noqa: E402
from xresdiff.plot import colours, curves  # noqa: E402
from xresdiff.plot.methods import PlotMethods  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def rain(members=5, name="precip_rate", units="mm h-1", **attrs):
    return xr.DataArray(
        np.random.default_rng(0).gamma(0.3, 4, size=(members, 2, 8, 12)).astype(np.float32),
        coords={
            "time": np.array(["2020-06-01T12:00", "2020-06-01T13:00"], "datetime64[ns]"),
            "lat": ("lat", 60 - 0.1 * np.arange(8), {"units": "degrees_north"}),
            "lon": ("lon", 358 + 0.1 * np.arange(12), {"units": "degrees_east"}),
        },
        dims=("number", "time", "lat", "lon"),
        name=name,
        attrs={"units": units, **attrs},
    )


def temperature():
    return rain(name="t2m", units="K") + 280


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]


class TestStamps:
    def test_has_a_panel_each_in_one_scale(self):
        ens = rain()
        coarse = ens[0].coarsen(lat=4, lon=4).mean(keep_attrs=True)
        figure = plot.stamps(ens[1:], ens[0], coarse=coarse)
        assert titles(figure) == [
            *("input", "truth", "mean", "spread"),
            *("member 0", "member 1", "member 2", "member 3"),
        ]
        meshes = [ax.collections[0] for ax in figure.axes[:8]]
        assert len({id(mesh.norm) for mesh in meshes}) == 1
        assert len({ax.get_xlim() for ax in figure.axes[:8]}) == 1
        assert meshes[0].get_array().shape == (2, 3)
        np.testing.assert_allclose(meshes[1].get_array(), ens[0, 0])
        np.testing.assert_allclose(meshes[2].get_array(), ens[1:, 0].mean("number"), rtol=1e-6)
        np.testing.assert_allclose(meshes[3].get_array(), ens[1:, 0].std("number", ddof=1), 1e-5)
        assert "2020-06-01 12:00" in figure.get_suptitle()
        figure.canvas.draw()

    def test_spread_of_anything_else_has_its_own_scale(self):
        figure = plot.stamps(temperature(), temperature()[0])
        norms = [ax.collections[0].norm for ax in figure.axes[:3]]
        assert norms[0] is norms[1]
        assert norms[2].vmax < norms[0].vmin

    def test_takes_a_time_a_number_and_datasets(self):
        ens = rain()
        figure = plot.stamps(
            ens.to_dataset().assign(t2m=temperature()),
            ens[0].to_dataset(),
            variable="precip_rate",
            members=2,
            time="2020-06-01T13:00",
        )
        assert titles(figure) == ["truth", "mean", "spread", "member 0", "member 1"]
        np.testing.assert_allclose(figure.axes[0].collections[0].get_array(), ens[0, 1])

    def test_takes_the_truth_at_the_time_of_the_ensemble(self):
        ens = rain()
        figure = plot.stamps(ens.isel(time=1), ens[0])
        np.testing.assert_allclose(figure.axes[0].collections[0].get_array(), ens[0, 1])

    def test_one_member_has_no_spread(self):
        assert titles(plot.stamps(rain(1))) == ["mean", "member 0"]

    @pytest.mark.parametrize(("numbers", "shown"), [([7, 3], "73"), ([5, 5], "01")])
    def test_members_go_by_their_coordinate_or_their_place(self, numbers, shown):
        figure = plot.stamps(rain(2).assign_coords(number=numbers))
        assert titles(figure)[2:] == [f"member {n}" for n in shown]

    def test_computes_once_and_only_the_time_shown(self):
        seen = []

        def see(block):
            seen.append(block.shape)
            return block

        lazy = rain().chunk(number=1, time=1)
        lazy.data = lazy.data.map_blocks(see, meta=np.empty((0,) * 4, np.float32))
        with raise_if_dask_computes(max_computes=1):
            plot.stamps(lazy, rain()[0].chunk())
        assert seen == 5 * [(1, 1, 8, 12)]

    def test_refuses(self):
        with pytest.raises(InputError, match=r"stamps need members.*plot.map"):
            plot.stamps(rain()[0])
        with pytest.raises(InputError, match=r"\['a', 'b'\]: variable='a'"):
            plot.stamps(xr.Dataset({"a": rain(), "b": rain()}))
        with pytest.raises(InputError, match=r"Select one: isel\(step=0\)"):
            plot.stamps(rain().expand_dims(step=2))
        with pytest.raises(InputError, match="no time 2021-01-01; there are 2020-06-01T12:00"):
            plot.stamps(rain(), time="2021-01-01")


class TestMap:
    def test_is_true_to_shape_and_labelled(self):
        mesh = plot.map(rain()[0])
        ax = mesh.axes
        assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(59.65)))
        mesh.figure.canvas.draw()
        assert {t.get_text() for t in ax.get_xticklabels()} >= {"1.5°W"}
        assert {t.get_text()[-1] for t in ax.get_yticklabels()} == {"N"}

    def test_draws_where_it_is_told(self):
        _, ax = plt.subplots()
        assert plot.map(rain()[0], ax=ax).axes is ax

    def test_of_a_projection_is_in_km(self):
        da = rain()[0, 0].drop_vars(("lat", "lon")).rename(lat="y", lon="x")
        da = da.assign_coords(
            y=("y", 1e3 * np.arange(8), {"units": "m"}),
            x=("x", 1e3 * np.arange(12), {"units": "m"}),
        )
        ax = plot.map(da).axes
        assert ax.get_xlabel() == "x (km)"
        assert ax.get_xlim() == (-0.5, 11.5)

    def test_of_curvilinear_coordinates_and_of_none(self):
        da = rain()[0, 0]
        lat, lon = np.meshgrid(da.lat, da.lon, indexing="ij")
        bare = da.drop_vars(("lat", "lon")).rename(lat="y", lon="x")
        plot.map(bare.assign_coords(lat=(("y", "x"), lat), lon=(("y", "x"), lon)))
        assert plot.map(bare).axes.get_xlabel() == "x (points)"

    def test_rain_has_classes_in_mm_per_hour(self):
        flux = (rain()[0] / 3600).assign_attrs(units="kg m-2 s-1")
        mesh = plot.map(flux)
        assert isinstance(mesh.norm, BoundaryNorm)
        np.testing.assert_allclose(mesh.get_array(), rain()[0, 0], rtol=1e-5)
        amount = plot.map(rain(units="mm")[0])
        np.testing.assert_allclose(amount.get_array(), rain()[0, 0])

    def test_wind_is_centred_on_zero(self):
        wind = rain(name="u", units="m s-1", standard_name="eastward_wind")[0]
        mesh = plot.map(wind)
        assert mesh.norm.vmin == -mesh.norm.vmax

    @pytest.mark.parametrize(
        ("name", "attrs", "signed"),
        [
            ("t2m", {"long_name": "residual of 2 m temperature"}, True),
            ("t2m_bias", {}, True),
            ("difference", {}, True),
            ("u10m", {}, True),
            ("error", {"long_name": "error of the mean of precipitation"}, True),
            ("t2m", {"long_name": "root mean square error of 2 m temperature"}, False),
            ("u10m", {"long_name": "ensemble spread of eastward wind"}, False),
            ("t2m", {"long_name": "2 m temperature"}, False),
        ],
    )
    def test_differences_are_centred_on_zero_and_their_sizes_are_not(self, name, attrs, signed):
        norm = plot.map(rain(name=name, units="K", **attrs)[0]).norm
        assert (norm.vmin == -norm.vmax) == signed

    def test_sizes_begin_at_zero(self):
        spread = (rain()[0] + 1).rename("t2m").assign_attrs(long_name="ensemble spread")
        assert plot.map(spread).norm.vmin == 0

    def test_probabilities_of_rain_are_no_rain(self):
        chance = rain(units="1", long_name="probability of rain")[0].clip(max=1)
        norm = plot.map(chance).norm
        assert (norm.vmin, norm.vmax) == (0, 1)

    def test_a_field_of_one_value_has_a_scale(self):
        norm = plot.map(0 * temperature()[0]).norm
        assert norm.vmin < 0 < norm.vmax

    def test_the_title_tells_the_time(self):
        assert plot.map(rain()[0]).axes.get_title(loc="left") == "precip_rate, 2020-06-01 12:00"

    def test_goes_to_its_place_on_a_map_of_cartopy(self, monkeypatch):
        calls = []
        crs = ModuleType("cartopy.crs")
        crs.PlateCarree = lambda: "degrees"
        monkeypatch.setitem(sys.modules, "cartopy", ModuleType("cartopy"))
        monkeypatch.setitem(sys.modules, "cartopy.crs", crs)
        figure, ax = plt.subplots()

        class GeoAxes(type(ax)):
            def pcolormesh(self, x, y, *args, transform, **options):
                calls.append((x, y, transform))
                return super().pcolormesh(x, y, *args, **options)

            def coastlines(self, **options):
                calls.append("coastlines")

            def gridlines(self, **options):
                return SimpleNamespace()

        da = rain()[0, 0]
        lat, lon = np.meshgrid(da.lat, da.lon, indexing="ij")
        flat = da.drop_vars(("lat", "lon")).rename(lat="y", lon="x")
        flat = flat.assign_coords(lat=(("y", "x"), lat), lon=(("y", "x"), lon))
        plot.map(flat, ax=GeoAxes(figure, ax.get_position()))
        (x, y, transform), coastlines = calls
        np.testing.assert_array_equal(x, lon)
        np.testing.assert_array_equal(y, lat)
        assert (transform, coastlines) == ("degrees", "coastlines")

    def test_missing_data_are_no_zeros(self):
        da = rain()[0]
        mesh = plot.map(da.where(da.lat < 59.5))
        assert mesh.get_array().mask.any()


@pytest.mark.parametrize("name", [n for n in plot.__all__ if n != "domain"])
def test_methods_are_functions_too(name):
    method, function = getattr(PlotMethods, name), getattr(plot, name)
    _, *of_method = inspect.signature(method).parameters.values()
    _, *of_function = inspect.signature(function).parameters.values()
    assert of_method == of_function
    assert f"See :func:`xresdiff.plot.{name}`." in method.__doc__


def test_lines_are_told_apart_without_colours():
    styles = [curves.style_of(name, i) for i, name in enumerate("abcde")]
    assert len({str(style["ls"]) for style in styles}) == len(colours.OTHERS) == 5
    assert curves.style_of("truth", 5)["color"] == "black"


def test_colours_of_rain_order_in_grey():
    grey = [np.dot(to_rgb(colour), (0.299, 0.587, 0.114)) for colour in colours.RAIN_COLOURS]
    assert (np.diff(grey) < -0.03).all()
    assert len(colours.RAIN_COLOURS) == len(colours.RAIN_LEVELS)


def test_needs_no_cartopy():
    plot.map(rain()[0])
    assert "cartopy" not in sys.modules


class TestDomains:
    def card(self, lon):
        outline = ((lon, 50.0), (lon + 10.0, 50.0), (lon + 10.0, 54.0), (lon, 54.0))
        outline = tuple(((x + 180) % 360 - 180, y) for x, y in outline)
        target = FixedTarget("a bay", 4.0, 28.0, outline=outline)
        return fixed_card(target=target)

    def test_the_region_is_drawn_where_it_is(self):
        patch = self.card(0.0).plot.domain()
        assert patch.get_xy()[:4].tolist() == [[0, 50], [10, 50], [10, 54], [0, 54]]
        west, east = patch.axes.get_xlim()
        assert west < 0 < 10 < east
        assert patch.axes.get_aspect() == pytest.approx(1 / np.cos(np.radians(52)))

    def test_a_region_across_the_date_line_is_in_one_piece(self):
        assert np.ptp(self.card(175.0).plot.domain().get_xy()[:, 0]) == 10

    @pytest.mark.parametrize("pole", [90, -90])
    def test_a_region_around_a_pole_reaches_up_to_it(self, pole):
        angles = np.arange(0, 360, 15.0)
        outline = tuple((((x + 180) % 360) - 180, pole * 0.9) for x in angles)
        target = FixedTarget("a pole", 25.0, 100.0, outline=outline)
        patch = fixed_card(target=target).plot.domain()
        x, y = patch.get_xy().T
        assert np.ptp(x) == 360
        assert set(y) == {pole * 0.9, pole}
        assert patch.get_path().contains_points([(lon, pole * 0.95) for lon in angles[1:-1]]).all()

    def test_models_that_work_anywhere_have_none(self):
        with pytest.raises(InputError, match="works anywhere"):
            plot.domain(toy_card())


# --- trainings


def trained():
    """Return the history of a training of two stages."""
    nan = np.nan
    losses = [[1.0, 0.3, 0.2], [0.9, 0.5, 0.55]]
    crps = [[nan, nan, nan], [0.4, 0.3, 0.35]]
    data = {
        "training_loss": losses,
        "validation_loss": losses,
        "crps_of_means": crps,
        "spread_skill": crps,
    }
    dims = ("stage", "step")
    variables = {name: (dims, np.array(values)) for name, values in data.items()}
    return xr.Dataset(variables, {"stage": ["mean", "residual"], "step": [0, 10, 20]})


def test_a_history_has_a_panel_for_each_stage_and_score():
    figure = trained().resdiff.plot.history()
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[:2] == ["mean stage", "residual stage"]
    assert len(titles) == 4


def test_a_history_marks_the_weights_that_were_kept():
    mean, residual, *_ = trained().resdiff.plot.history().axes
    assert mean.lines[-1].get_xdata()[0] == 20  # by the loss
    assert residual.lines[-1].get_xdata()[0] == 10  # by the CRPS
    assert [text.get_text() for text in mean.get_legend().get_texts()][-1] == "kept"


def test_what_is_no_history_is_refused():
    with pytest.raises(InputError, match="no history of a training"):
        xr.Dataset({"t2m": ("x", [1.0])}).resdiff.plot.history()


def test_amounts_of_rain_are_shown_in_mm():
    metres = xr.DataArray(
        [[0.0, 0.004], [0.02, 0.0]], dims=("y", "x"), name="tp", attrs={"units": "m"}
    )
    shown = plot.map(metres).get_array()
    np.testing.assert_allclose(np.asarray(shown).ravel(), [0, 4, 20, 0], rtol=1e-6)


def test_terrain_is_no_rain():
    height = xr.DataArray([[0.0, 900.0]], dims=("y", "x"), name="terrain", attrs={"units": "m"})
    assert plot.map(height).get_cmap().name == "viridis"

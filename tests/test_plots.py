"""Figures show what they say, compute what they show, and need no display. No pixels compared."""

import sys

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
from xresdiff.plot import paper  # noqa: E402


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

    def test_missing_data_are_no_zeros(self):
        da = rain()[0]
        mesh = plot.map(da.where(da.lat < 59.5))
        assert mesh.get_array().mask.any()


def test_colours_of_rain_order_in_grey():
    grey = [np.dot(to_rgb(colour), (0.299, 0.587, 0.114)) for colour in paper.RAIN_COLOURS]
    assert (np.diff(grey) < -0.03).all()
    assert len(paper.RAIN_COLOURS) == len(paper.RAIN_LEVELS)


class TestSpectrum:
    def test_has_members_mean_references_and_truth(self):
        ens = rain()
        coarse = ens[0].coarsen(lat=2, lon=2).mean(keep_attrs=True)
        lines = plot.spectrum(ens[1:], ens[0], reference={"input": coarse})
        assert len(lines) == 4 + 1 + 1 + 1
        assert [line.get_label() for line in lines[4:]] == ["ensemble", "input", "truth"]
        ax = lines[0].axes
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert ax.xaxis.get_inverted()
        assert ax.get_xlabel() == "wavelength (km)"
        assert ax.get_ylabel() == "variance density ((mm h⁻¹)² km)"
        ax.figure.canvas.draw()

    def test_of_white_noise_is_the_same_on_any_grid(self):
        rng = np.random.default_rng(0)
        small, large = (
            xr.DataArray(rng.standard_normal((20, n, n)), dims=("time", "y", "x")) for n in (32, 64)
        )
        options = {"dim": ("y", "x"), "spacing_km": 1.0, "window": None}
        lines = plot.spectrum(small, reference={"large": large}, **options)
        small_wave = slice(-8, None), slice(-16, None)
        first, second = (
            line.get_ydata()[part].mean() for line, part in zip(lines, small_wave, strict=True)
        )
        assert first == pytest.approx(second, rel=0.05)
        assert lines[0].get_label() == "forecast"

    def test_computes_once(self):
        with raise_if_dask_computes(max_computes=1):
            plot.spectrum(rain().chunk(number=2), rain()[0].chunk())

    def test_refuses_what_is_missing_everywhere(self):
        ens = rain()
        with pytest.raises(InputError, match=r"missing values.*fillna"):
            plot.spectrum(ens.where(ens.lat < 59.5))


def test_rank_histogram():
    bars = plot.rank_histogram(rain()[1:].to_dataset(), rain()[0].to_dataset())
    assert len(bars) == 5
    assert sum(bar.get_height() for bar in bars) == pytest.approx(1)


def test_spread_skill():
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.1, 3, 5000)
    draws = xr.DataArray(scale * rng.standard_normal((81, 5000)), dims=("member", "x"))
    (line,) = plot.spread_skill(draws[1:], draws[0], classes=5)
    x, y = line.get_data()
    assert x.size == 5
    np.testing.assert_allclose(y / x, 1, atol=0.1)
    (dry,) = plot.spread_skill(0 * draws[1:], 0 * draws[0])
    np.testing.assert_array_equal(dry.get_data(), [[0], [0]])


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

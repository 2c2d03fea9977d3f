"""Figures of curves: what is drawn, how it is labelled, computed once. No pixels compared."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

from matplotlib import pyplot as plt  # noqa: E402

from tests.helpers import raise_if_dask_computes  # noqa: E402
from xresdiff import plot  # noqa: E402
from xresdiff.errors import InputError  # noqa: E402
from xresdiff.verify import calibration, distributions, neighbourhoods  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def rain(members=5, times=2):
    """Return rain of members and times on latitude and longitude; the first member is truth."""
    times = np.datetime64("2020-06-01T12:00", "ns") + np.arange(times) * np.timedelta64(1, "h")
    return xr.DataArray(
        np.random.default_rng(0).gamma(0.3, 4, size=(members, times.size, 12, 16)).astype("f4"),
        coords={
            "time": times,
            "lat": ("lat", 60 - 0.1 * np.arange(12), {"units": "degrees_north"}),
            "lon": ("lon", 2 + 0.1 * np.arange(16), {"units": "degrees_east"}),
        },
        dims=("number", "time", "lat", "lon"),
        name="precip_rate",
        attrs={"units": "mm h-1", "long_name": "rain rate"},
    )


def flux(field):
    return (field / 3600).assign_attrs(field.attrs, units="kg m-2 s-1")


def draws(members=4, points=500):
    rng = np.random.default_rng(0)
    return xr.DataArray(rng.standard_normal((members + 1, points)), dims=("member", "x"), name="t")


def profiles(dim="radius", members=4):
    """Return truth, then members, along a distance at two times."""
    values = np.random.default_rng(0).random((members + 1, 2, 9))
    time = np.array(["2020-06-01T12:00", "2020-06-01T13:00"], "datetime64[ns]")
    return xr.DataArray(
        values,
        {"time": time, dim: 5.0 * np.arange(9)},
        ("member", "time", dim),
        name="wind",
        attrs={"units": "m s-1"},
    )


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


ON_GRID = {
    "spectrum": {},
    "pdf": {},
    "rank_histogram": {},
    "spread_skill": {},
    "reliability": {"threshold": [1.0, 5.0]},
    "fss": {"threshold": [1.0, 5.0]},
}


class TestAll:
    @pytest.mark.parametrize("name", ON_GRID)
    def test_computes_once(self, name):
        ens = rain(times=6).chunk(number=2, time=3)
        with raise_if_dask_computes(max_computes=1):
            getattr(plot, name)(ens[1:], ens[0], reference={"other": 2 * ens[1:]}, **ON_GRID[name])

    @pytest.mark.parametrize("name", ["radial_profile", "cross_section"])
    def test_profiles_compute_once_and_only_the_time_shown(self, name):
        seen = []

        def see(block):
            seen.append(block.shape)
            return block

        both = profiles("radius" if name == "radial_profile" else "distance").chunk(time=1)
        lazy = both.copy(data=both.data.map_blocks(see, meta=np.empty((0,) * 3)))
        with raise_if_dask_computes(max_computes=1):
            getattr(plot, name)(lazy[1:], lazy[0])
        assert set(seen) <= {(5, 1, 9), (4, 1, 9), (1, 1, 9)}
        assert len(seen) <= 2

    @pytest.mark.parametrize("name", ON_GRID)
    def test_draws_where_it_is_told(self, name):
        _, ax = plt.subplots()
        getattr(plot, name)(rain()[1:], rain()[0], ax=ax, **ON_GRID[name])
        assert ax.has_data()
        assert plt.get_fignums() == [ax.figure.number]

    @pytest.mark.parametrize("factor", [1, 0])
    @pytest.mark.parametrize("name", ON_GRID)
    def test_is_as_large_as_told_though_all_be_dry(self, name, factor):
        ens = (factor * rain()).assign_attrs(rain().attrs)
        getattr(plot, name)(ens[1:], ens[0], figsize=(3.4, 2.6), **ON_GRID[name])
        assert plt.gcf().get_size_inches().tolist() == [3.4, 2.6]
        plt.gcf().canvas.draw()

    @pytest.mark.parametrize("name", ON_GRID)
    def test_rain_is_in_mm_per_hour_whatever_it_comes_in(self, name):
        ens = rain()
        getattr(plot, name)(flux(ens[1:]), ens[0], **ON_GRID[name])
        one = plt.gca()
        getattr(plot, name)(ens[1:], flux(ens[0]), **ON_GRID[name])
        for mine, other in zip(one.lines, plt.gca().lines, strict=True):
            np.testing.assert_allclose(mine.get_xydata(), other.get_xydata(), rtol=1e-4)
        assert one.get_ylabel() == plt.gca().get_ylabel()

    @pytest.mark.parametrize("name", ON_GRID)
    def test_leaves_what_it_is_given_as_it_was(self, name):
        ens = rain()
        getattr(plot, name)(ens[1:], ens[0], reference={"other": ens[1:]}, **ON_GRID[name])
        xr.testing.assert_identical(ens, rain())

    @pytest.mark.parametrize("name", ["spectrum", "pdf"])
    @pytest.mark.parametrize("band", [0.0, 90])
    def test_refuses_a_band_that_is_none(self, name, band):
        with pytest.raises(InputError, match=r"band is a share.*band=0\.9"):
            getattr(plot, name)(rain(), band=band)

    def test_one_reference_needs_no_name(self):
        lines = plot.spectrum(rain()[1:], reference=rain()[0].to_dataset())
        assert [line.get_label() for line in lines] == ["ensemble", "reference"]


class TestSpectrum:
    def test_has_a_band_the_mean_references_and_truth(self):
        ens = rain()
        coarse = ens[0].coarsen(lat=2, lon=2).mean(keep_attrs=True)
        lines = plot.spectrum(ens[1:], ens[0], reference={"input": coarse})
        assert [line.get_label() for line in lines] == ["ensemble", "input", "truth"]
        ax = lines[0].axes
        assert legend(ax)[0] == "90 % of members"
        assert len(ax.collections) == 1
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert ax.xaxis.get_inverted()
        assert ax.get_xlabel() == "wavelength (km)"
        assert ax.get_ylabel() == "variance density ((mm h⁻¹)² km)"

    @pytest.mark.parametrize(("band", "told"), [(1, "all members"), (0.5, "50 % of members")])
    def test_the_band_holds_the_members_it_says(self, band, told):
        ens = rain(21)
        (line,) = plot.spectrum(ens, band=band)
        ax = line.axes
        assert legend(ax)[0] == told
        _, other = plt.subplots()
        each = [plot.spectrum(ens[i], ax=other)[0] for i in range(21)]
        powers = np.array([one.get_ydata() for one in each])
        outline = ax.collections[0].get_paths()[0].vertices
        for x, column, mean in zip(line.get_xdata(), powers.T, line.get_ydata(), strict=True):
            here = outline[np.isclose(outline[:, 0], x), 1]
            ends = np.quantile(column, [0.5 - band / 2, 0.5 + band / 2])
            np.testing.assert_allclose([here.min(), here.max()], ends)
            assert mean == pytest.approx(column.mean())

    def test_of_white_noise_is_the_same_on_any_grid(self):
        rng = np.random.default_rng(0)
        small, large = (
            xr.DataArray(rng.standard_normal((20, n, n)), dims=("time", "y", "x")) for n in (32, 64)
        )
        options = {"sides": ("y", "x"), "spacing_km": 1.0, "window": None}
        lines = plot.spectrum(small, reference={"large": large}, **options)
        small_wave = slice(-8, None), slice(-16, None)
        first, second = (
            line.get_ydata()[part].mean() for line, part in zip(lines, small_wave, strict=True)
        )
        assert first == pytest.approx(second, rel=0.05)
        assert lines[0].get_label() == "forecast"

    def test_refuses_what_is_missing_everywhere(self):
        ens = rain()
        with pytest.raises(InputError, match=r"missing values.*fillna"):
            plot.spectrum(ens.where(ens.lat < 59.5))


class TestPdf:
    def test_of_rain_is_logarithmic_and_tells_what_is_dry(self):
        ens, dry = rain(), 0 * rain()[0]
        lines = plot.pdf(ens[1:], ens[0], reference={"dry": dry})
        ax = lines[0].axes
        assert ax.get_xscale() == ax.get_yscale() == "log"
        share = 100 * float((ens[0] < 0.1).mean())
        assert [line.get_label() for line in lines[1:]] == [
            "dry, 100 % dry",
            f"truth, {share:.3g} % dry",
        ]
        assert ax.get_xlabel() == "rain rate (mm h⁻¹)"
        assert ax.get_ylabel() == "density (1/(mm h⁻¹))"

    def test_is_the_density_of_the_data(self):
        ens = draws()
        edges = [-1.0, 0.0, 2.0]
        lines = plot.pdf(ens[1:], ens[0], bins=edges)
        for line, field in zip(lines, (ens[1:], ens[0]), strict=True):
            counts = np.histogram(field, edges)[0]
            np.testing.assert_allclose(line.get_ydata(), counts / field.size / np.diff(edges))
        assert lines[0].axes.get_xscale() == "linear"
        assert lines[0].axes.get_xlim() == (-1, 2)

    def test_ends_where_there_is_nothing(self):
        low, high = plot.pdf(rain().clip(max=20.0))[0].axes.get_xlim()
        edges = distributions.pdf(rain())
        assert low == pytest.approx(0.1)
        assert high == pytest.approx(float(edges.upper[(edges.lower <= 20)][-1]))

    def test_no_line_falls_to_nothing(self):
        (line,) = plot.pdf(xr.DataArray([0.0, 0.0, 3.0], dims="x"), bins=3)
        np.testing.assert_allclose(line.get_xydata(), [[0.5, 2 / 3], [2.5, 1 / 3]])


class TestRankHistogram:
    def test_bars_are_the_ranks(self):
        ens = rain()
        bars = plot.rank_histogram(ens[1:].to_dataset(), ens[0].to_dataset())
        known = calibration.rank_histogram(ens[1:], ens[0])
        np.testing.assert_allclose([bar.get_height() for bar in bars], known)
        assert bars.errorbar is None

    def test_many_times_give_intervals(self):
        ens = rain(times=8)
        bars = plot.rank_histogram(ens[1:], ens[0])
        known = calibration.rank_histogram(ens[1:], ens[0])
        np.testing.assert_allclose([bar.get_height() for bar in bars], known)
        (bounds,) = bars.errorbar.lines[2]
        ends = np.array([segment[:, 1] for segment in bounds.get_segments()])
        assert (ends[:, 0] < known.values).all()
        assert (ends[:, 1] > known.values).all()
        assert legend(bars[0].axes) == ["95 % interval, times resampled"]

    def test_cases_give_the_band_of_chance(self):
        ens = rain(times=8)
        bars = plot.rank_histogram(ens[1:], ens[0], cases=200)
        assert bars.errorbar is None
        ax = bars[0].axes
        flat, low, high = (line.get_ydata()[0] for line in ax.lines)
        assert flat == pytest.approx(1 / 5)
        inside = binom.cdf(200 * high, 200, 0.2) - binom.cdf(200 * low - 1, 200, 0.2)
        assert 0.95 <= inside < 0.97
        assert legend(ax) == ["95 % of 200 cases"]

    def test_references_have_as_many_members(self):
        ens = rain()
        bars = plot.rank_histogram(ens[1:], ens[0], reference={"twice": 2 * ens[1:]})
        assert legend(bars[0].axes) == ["ensemble", "twice"]
        with pytest.raises(InputError, match=r"has 4, few has 2.*slice\(2\)"):
            plot.rank_histogram(ens[1:], ens[0], reference={"few": ens[1:3]})

    def test_refuses_no_cases(self):
        with pytest.raises(InputError, match="cases=100, not 0"):
            plot.rank_histogram(rain()[1:], rain()[0], cases=0)


class TestSpreadSkill:
    def test_is_on_the_diagonal_where_truth_and_members_are_alike(self):
        rng = np.random.default_rng(0)
        scale = rng.uniform(0.1, 3, 5000)
        alike = xr.DataArray(scale * rng.standard_normal((81, 5000)), dims=("member", "x"))
        line, wide = plot.spread_skill(
            alike[1:], alike[0], reference={"wide": 2 * alike[1:]}, classes=5
        )
        x, y = line.get_data()
        assert x.size == 5
        np.testing.assert_allclose(y / x, 1, atol=0.1)
        np.testing.assert_allclose(wide.get_xdata(), 2 * x)
        assert legend(line.axes) == ["ensemble", "wide"]

    def test_of_what_is_dry_everywhere_is_a_point(self):
        ens = draws()
        (dry,) = plot.spread_skill(0 * ens[1:], 0 * ens[0])
        np.testing.assert_array_equal(dry.get_data(), [[0], [0]])

    def test_refuses_what_is_missing(self):
        with pytest.raises(InputError, match="no point that the truth and all members know"):
            plot.spread_skill(draws()[1:], np.nan * draws()[0])


class TestReliability:
    def test_has_a_curve_for_each_threshold_and_forecast(self):
        ens = rain()
        lines = plot.reliability(
            ens[1:], ens[0], threshold=[0.5, 2.0], reference={"wet": 2 * ens[1:]}
        )
        known = calibration.reliability(ens[1:], ens[0], threshold=[0.5, 2.0])
        assert len(lines) == 4
        for line, curve in zip(lines, known.transpose("threshold", ...), strict=False):
            there = curve.sel(curve="share") > 0
            np.testing.assert_allclose(line.get_xdata(), curve.sel(curve="forecast")[there])
            np.testing.assert_allclose(line.get_ydata(), curve.sel(curve="observed")[there])
        ax = lines[0].axes
        assert legend(ax) == ["≥ 0.5 mm h⁻¹", "≥ 2 mm h⁻¹", "ensemble", "wet"]
        assert lines[0].get_color().tolist() == lines[2].get_color().tolist()
        assert lines[0].get_linestyle() != lines[2].get_linestyle()
        (small,) = ax.child_axes
        np.testing.assert_allclose(
            [line.get_ydata() for line in small.lines],
            known.sel(curve="share").transpose("threshold", ...).where(lambda share: share > 0),
        )

    def test_one_threshold_shows_how_often_it_is_reached(self):
        ens = rain()
        (line,) = plot.reliability(ens[1:], ens[0], threshold=2.0)
        diagonal, across, up, _ = line.axes.lines
        rate = float((ens[0] >= 2).mean())
        np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
        assert across.get_ydata()[0] == up.get_xdata()[0] == pytest.approx(rate)
        left, right = line.axes.collections
        assert self.holds(right, 0.9, 0.8)
        assert not self.holds(right, 0.9, (0.9 + rate) / 2 - 0.05)  # of no skill
        assert self.holds(left, 0.0, rate / 4)

    @staticmethod
    def holds(patch, *point):
        return patch.get_paths()[0].contains_point(point, radius=1e-6)

    def test_lines_join_across_classes_without_points(self):
        ens = draws(10, 40)
        (line,) = plot.reliability(ens[1:], ens[0], threshold=1.0)
        assert not np.isnan(line.get_ydata()).any()


class TestFss:
    def test_has_a_curve_for_each_threshold_and_forecast(self):
        ens = rain()
        scales = [11.1, 33.3]
        options = {"threshold": [0.5, 2.0], "scale_km": scales}
        lines = plot.fss(ens[1:], ens[0], reference={"first": ens[1]}, **options)
        known = neighbourhoods.fss(ens[1:], ens[0], **options)
        assert len(lines) == 4
        np.testing.assert_allclose([line.get_ydata() for line in lines[:2]], known)
        np.testing.assert_allclose(lines[0].get_xdata(), scales)
        ax = lines[0].axes
        assert legend(ax) == ["≥ 0.5 mm h⁻¹", "≥ 2 mm h⁻¹", "ensemble", "first"]
        useful = [line.get_ydata()[0] for line in ax.lines[4:]]
        rates = [float((ens[0] >= level).mean()) for level in (0.5, 2.0)]
        np.testing.assert_allclose(useful, [(1 + rate) / 2 for rate in rates])

    def test_chooses_scales_up_to_the_shorter_side(self):
        ens = draws(2, 16 * 40).values.reshape(3, 16, 40)
        ens = xr.DataArray(ens, dims=("member", "y", "x"))
        grid = {"sides": ("y", "x"), "spacing_km": 2.0}
        (line,) = plot.fss(ens[1:], ens[0], threshold=0.0, **grid)
        assert line.get_xdata().tolist() == [2, 6, 10, 18]


@pytest.mark.parametrize(
    ("draw", "dim", "label"),
    [
        (plot.radial_profile, "radius", "distance from the centre (km)"),
        (plot.cross_section, "distance", "distance (km)"),
    ],
)
class TestProfiles:
    def test_has_a_band_the_mean_references_and_truth(self, draw, dim, label):
        both = profiles(dim)
        shifted = both[0].assign_coords({dim: both[dim] + 1})
        lines = draw(both[1:], both[0], reference={"other": shifted}, time="2020-06-01T13:00")
        ax = lines[0].axes
        assert legend(ax) == ["90 % of members", "ensemble", "other", "truth"]
        np.testing.assert_allclose(lines[0].get_ydata(), both[1:, 1].mean("member"))
        np.testing.assert_allclose(lines[1].get_xdata(), both[dim] + 1)
        np.testing.assert_allclose(lines[2].get_ydata(), both[0, 1])
        assert (ax.get_xlabel(), ax.get_ylabel()) == (label, "wind (m s⁻¹)")
        assert ax.get_title(loc="left") == "wind, 2020-06-01 13:00"

    def test_takes_a_variable_of_datasets_and_converts_units(self, draw, dim, label):
        both = profiles(dim)[:, 0]
        ds = xr.Dataset({"wind": both, "gust": 2 * both})
        slow = (3.6 * both[0]).assign_attrs(units="km h-1")
        lines = draw(ds.isel(member=slice(1, None)), slow.to_dataset(), variable="wind")
        np.testing.assert_allclose(lines[1].get_ydata(), both[0])
        with pytest.raises(InputError, match=r"\['wind', 'gust'\]: variable='wind'"):
            draw(ds)

    def test_one_forecast_has_no_band(self, draw, dim, label):
        (line,) = draw(profiles(dim)[0, 0])
        assert line.get_label() == "forecast"
        assert not line.axes.collections

    def test_refuses(self, draw, dim, label):
        with pytest.raises(InputError, match=rf"no dimension '{dim}'.*ens\.resdiff\."):
            draw(rain())
        with pytest.raises(InputError, match=r"Select one: isel\(step=0\)"):
            draw(profiles(dim).expand_dims(step=2))
        with pytest.raises(InputError, match=r"band=0\.9"):
            draw(profiles(dim), band=2)

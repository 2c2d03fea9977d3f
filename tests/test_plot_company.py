"""Figures compare at the points that all know, and tell which reference is at fault."""

import numpy as np
import pytest
import xarray as xr

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

from matplotlib import pyplot as plt  # noqa: E402

from tests.helpers import raise_if_dask_computes  # noqa: E402
from tests.test_plot_curves import draws, legend, profiles, rain  # noqa: E402
from xresdiff import plot  # noqa: E402
from xresdiff.errors import InputError  # noqa: E402
from xresdiff.plot import company, paper  # noqa: E402
from xresdiff.verify import neighbourhoods  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


OPTIONS = {
    "pdf": {},
    "spread_skill": {},
    "rank_histogram": {},
    "reliability": {"threshold": 1.0},
    "fss": {"threshold": 1.0},
}
WITH_ANY = [name for name in OPTIONS if name not in ("spread_skill", "rank_histogram")]


def points(name, *args, **options):
    """Return all that a figure of the ensemble and the truth has drawn."""
    getattr(plot, name)(*args, **options, **OPTIONS[name])
    ax = plt.gca()
    lines = [line.get_xydata() for line in ax.lines if line.get_label() != "other"]
    return [*lines, *(bar.get_height() for bar in ax.patches if hasattr(bar, "get_height"))]


class TestSharedPoints:
    @pytest.mark.parametrize("name", OPTIONS)
    def test_what_a_reference_lacks_counts_for_nobody(self, name):
        ens = rain()
        known = ens.lon < 2.75
        there = ens.where(known)
        found = points(name, ens[1:], ens[0], reference={"other": there[1:]})
        expected = points(name, there[1:], there[0], reference={"other": there[1:]})
        for mine, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, other)

    def test_a_reference_on_another_grid_masks_nothing(self):
        ens = rain()
        coarse = ens[0].coarsen(lat=2, lon=2).mean(keep_attrs=True)
        alone = plot.pdf(ens[1:])[0].get_xydata()
        beside = plot.pdf(ens[1:], reference=coarse.where(coarse.lon < 2.5))[0].get_xydata()
        np.testing.assert_allclose(beside, alone)

    def test_nothing_is_computed(self):
        ens = rain().chunk()
        with raise_if_dask_computes():
            own, fields = company.compared(ens[1:], {"mean": ens[0].mean("time")}, ens[0])
        assert own.chunks is not None
        assert all(field.chunks is not None for field in fields.values())

    @pytest.mark.parametrize("name", WITH_ANY)
    def test_a_climatology_is_repeated(self, name):
        ens = rain()
        climatology = ens[0].mean("time", keep_attrs=True)
        of_all = climatology.expand_dims(time=ens.time)
        found = points(name, ens[1:], ens[0], reference={"climatology": climatology})
        expected = points(name, ens[1:], ens[0], reference={"climatology": of_all})
        for mine, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, other)

    def test_rounded_coordinates_lose_no_points(self):
        ens = rain()
        near = ens[1:].assign_coords(lat=ens.lat.astype("f4"))
        own, _ = company.compared(ens[1:], {"near": near}, ens[0])
        xr.testing.assert_identical(own, ens[1:])

    def test_members_of_a_reference_may_be_called_otherwise(self):
        ens = rain()
        (line, other) = plot.spread_skill(
            ens[1:], ens[0], reference={"same": ens[1:].rename(number="member")}
        )
        np.testing.assert_allclose(line.get_xydata(), other.get_xydata())

    def test_fss_is_that_of_the_shared_points(self):
        ens = rain()
        there = ens.where(ens.lon < 2.75)
        line, *_ = plot.fss(ens[1:], ens[0], threshold=1.0, scale_km=30, reference=there[1])
        known = neighbourhoods.fss(there[1:], there[0], threshold=1.0, scale_km=30)
        np.testing.assert_allclose(line.get_ydata()[0], known)

    def test_errors_name_the_reference_that_is_elsewhere(self):
        ens = rain()
        with pytest.raises(InputError, match=r"of 'far': .*'lat'"):
            plot.fss(
                ens[1:],
                ens[0],
                threshold=1.0,
                reference={"far": ens[1].assign_coords(lat=ens.lat + 5)},
            )


@pytest.mark.parametrize("name", OPTIONS)
def test_a_reference_without_values_is_no_empty_figure(name):
    ens = rain()
    with pytest.raises(InputError, match=r"no point that .*know"):
        points(name, ens[1:], ens[0], reference={"void": np.nan * ens[1:]})
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", ["rank_histogram", "spread_skill"])
def test_references_without_members_are_named(name):
    ens = rain()
    with pytest.raises(InputError, match=r"'bilinear' has the dimensions .*leave it out"):
        getattr(plot, name)(ens[1:], ens[0], reference={"bilinear": ens[0]})
    assert not plt.get_fignums()


class TestSpectrum:
    @pytest.mark.parametrize(
        ("told", "named"),
        [
            ({"reference": {"bilinear": 1}}, "reference 'bilinear'.*leave it out"),
            ({"obs": 1}, "obs"),
        ],
    )
    def test_refuses_what_has_no_spectrum(self, told, named):
        holes = rain()[0].where(rain().lat < 59.5)
        told = {k: {n: holes for n in v} if k == "reference" else holes for k, v in told.items()}
        with pytest.raises(InputError, match=f"no field of .*{named}"):
            plot.spectrum(rain()[1:], **told)
        assert not plt.get_fignums()

    def test_refuses_a_spectrum(self):
        power = xr.DataArray([1.0, 2.0], {"wavenumber": [0.1, 0.2]}, "wavenumber")
        with pytest.raises(InputError, match=r"takes fields.*power\.plot\(x='wavelength'"):
            plot.spectrum(power)


class TestMaps:
    def test_the_advised_time_can_be_typed(self):
        with pytest.raises(InputError, match="time='2020-06-01T12:00:00'"):
            plot.map(rain()[0], time=2)

    @pytest.mark.parametrize("draw", [plot.map, plot.stamps])
    def test_errors_leave_no_figure(self, draw):
        with pytest.raises(InputError, match=r"Select one: isel\(step=0\)"):
            draw(rain().expand_dims(step=2))
        assert not plt.get_fignums()

    def test_refuses_a_line(self):
        with pytest.raises(InputError, match="rows and columns"):
            plot.map(rain()[0, 0, 0])

    def test_probabilities_tell_of_what(self):
        ens = rain()
        chance = neighbourhoods.probability(ens, threshold=5.0, scale_km=30.0)
        title = plot.map(chance).axes.get_title(loc="left")
        assert title == "P(rain rate ≥ 5 mm h⁻¹ in 30 km), 2020-06-01 12:00"

    def test_standard_names_are_words(self):
        named = rain()[0].assign_attrs(long_name="", standard_name="rainfall_rate")
        assert paper.title_of(named) == "rainfall rate"

    @pytest.mark.parametrize("size", [(3.4, 2.6), (3.4, 4.0)])
    def test_narrow_stamps_label_one_corner_over_their_bar(self, size):
        warm = (rain() + 280).assign_attrs(units="K").rename("t2m").drop_attrs(deep=False)
        figure = plot.stamps(warm, warm[0], coarse=warm[0], figsize=size)
        figure.canvas.draw()
        panels = figure.axes[:8]
        labelled = [
            any(t.get_text() for t in ax.get_xticklabels() if t.get_visible()) for ax in panels
        ]
        assert labelled == [False] * 4 + [True] + [False] * 3
        widths = [ax.get_window_extent().width / figure.dpi for ax in panels]
        assert min(widths) > 0.45
        bar = figure.axes[8].get_position()
        assert bar.y1 < min(ax.get_position().y0 for ax in panels)
        title = panels[3].get_window_extent().x0, panels[3]._left_title.get_window_extent().x1
        (own,) = panels[3].child_axes
        assert title[1] < own.get_window_extent().x0


class TestCurves:
    def test_wide_spreads_are_on_logarithmic_axes(self):
        rng = np.random.default_rng(0)
        scale = 10 ** rng.uniform(-2, 2, 2000)
        ens = xr.DataArray(scale * rng.standard_normal((9, 2000)), dims=("member", "x"))
        (line,) = plot.spread_skill(ens[1:], ens[0])
        ax = line.axes
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert ax.get_xlim() == ax.get_ylim()
        assert ax.get_xlim()[0] < line.get_xdata().min()

    def test_like_spreads_are_not(self):
        (line,) = plot.spread_skill(draws()[1:], draws()[0])
        assert line.axes.get_xscale() == "linear"
        assert line.axes.get_xlim()[0] == 0

    def test_profiles_end_with_the_ensemble(self):
        both = profiles()
        wide = both[0].assign_coords(radius=10 * both.radius)
        line, _ = plot.radial_profile(both[1:], reference={"wide": wide})
        assert line.axes.get_xlim() == (0, 40)

    def test_the_legend_of_profiles_is_above_them(self):
        both = profiles()
        line, *_ = plot.radial_profile(both[1:], both[0], figsize=(3.4, 2.6))
        ax = line.axes
        ax.figure.canvas.draw()
        low = ax.transData.inverted().transform(ax.get_legend().get_window_extent())[0, 1]
        assert low > float(both[:, 0].max())
        assert legend(ax)[-1] == "truth"

    def test_the_pdf_tells_its_variable(self):
        assert plot.pdf(rain())[0].axes.get_title(loc="left") == "rain rate"

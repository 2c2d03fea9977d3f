"""The fractions skill score, against others and by hand, at edges and beside what is missing."""

import dask
import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.events import contingency
from xresdiff.verify.neighbourhoods import fss

M, T, Y, X = 4, 6, 9, 12
GRID = {"sides": ("y", "x"), "spacing_km": 1.0}
SCALES = [1, 2, 3, 5, 8]


@pytest.fixture
def obs():
    """Rain at 2 km, at one point missing."""
    values = np.random.default_rng(0).gamma(0.5, size=(T, Y, X)).round(1).astype(np.float32)
    values[1, 2, 3] = np.nan
    return xr.DataArray(
        values,
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(T) * np.timedelta64(1, "h"),
            "y": (
                "y",
                2.0 * np.arange(Y),
                {"units": "km", "standard_name": "projection_y_coordinate"},
            ),
            "x": (
                "x",
                2.0 * np.arange(X),
                {"units": "km", "standard_name": "projection_x_coordinate"},
            ),
        },
        dims=("time", "y", "x"),
        name="rain",
        attrs={"units": "mm h-1", "long_name": "rain rate"},
    )


@pytest.fixture
def ens(obs):
    values = np.random.default_rng(1).gamma(0.5, size=(M, T, Y, X)).round(1).astype(np.float32)
    made = xr.DataArray(values, {}, ("member", *obs.dims), attrs={"units": "mm h-1"})
    return made.assign_coords(obs.coords).rename("rain")


def fields(*shape):
    """Two fields of rain."""
    rng = np.random.default_rng(5)
    return [xr.DataArray(rng.gamma(0.5, size=shape), dims=("y", "x")) for _ in range(2)]


def by_hand(ens, obs, threshold, size, edges="shrink"):
    """Write the score down once more, point by point: ``(m, t, y, x), (t, y, x)``."""
    above = below = 0.0
    for t in range(obs.shape[0]):
        known = np.isfinite(obs[t]) & np.isfinite(ens[:, t]).all(0)
        share = np.where(known, (ens[:, t] >= threshold).mean(0), 0.0)
        event = np.where(known, obs[t] >= threshold, 0.0)
        for j, i in np.argwhere(known):
            rows, columns = (
                np.arange(c - n // 2, c - n // 2 + n) for c, n in zip((j, i), size, strict=True)
            )
            rows_in = rows[(rows >= 0) & (rows < known.shape[0])]
            columns_in = columns[(columns >= 0) & (columns < known.shape[1])]
            window = np.ix_(rows_in, columns_in)
            count = known[window].sum()
            if edges == "inside" and count < size[0] * size[1]:
                continue
            if edges == "zero":
                count += size[0] * size[1] - known[window].size
            f, o = share[window].sum() / count, event[window].sum() / count
            above, below = above + (f - o) ** 2, below + f**2 + o**2
    return 1 - above / below


class TestValue:
    @pytest.mark.parametrize("edges", ["shrink", "inside", "zero"])
    @pytest.mark.parametrize("scale", [1, 2, 3, 4, 5, 30])
    def test_is_what_it_is(self, ens, obs, scale, edges):
        ens[1, 2, 4, 4] = np.nan
        kwargs = {"sides": ("y", "x"), "spacing_km": (1.0, 2.0), "edges": edges}
        result = fss(ens, obs, threshold=0.5, scale_km=scale, **kwargs)
        size = (scale, max(1, int(scale / 2 + 0.5)))
        if edges == "inside" and scale > Y:
            assert np.isnan(result)
        else:
            expected = by_hand(ens.values, obs.values, np.float32(0.5), size, edges)
            assert result == pytest.approx(expected, rel=1e-12)

    def test_equals_another_implementation_inside(self):
        """`scores` slides its windows over the field and pads nothing: edges="inside"."""
        spatial = pytest.importorskip("scores.spatial")
        one, obs = fields(20, 26)
        for size in (1, 2, 3, 7, 20):
            theirs = spatial.fss_2d(
                one,
                obs,
                event_threshold=0.5,
                window_size=(size, size),
                spatial_dims=("y", "x"),
                threshold_operator=np.greater_equal,
            )
            ours = fss(one, obs, threshold=0.5, scale_km=size, edges="inside", **GRID)
            assert ours == pytest.approx(float(theirs), rel=1e-12), size

    def test_equals_another_implementation_that_pads_with_zeros(self):
        """Padded, `scores` also counts windows centred one row and one column behind the field."""
        spatial = pytest.importorskip("scores.spatial")
        one, obs = fields(20, 26)
        for size in (1, 3, 7):
            theirs = spatial.fss_2d(
                one,
                obs,
                event_threshold=0.5,
                window_size=(size, size),
                spatial_dims=("y", "x"),
                threshold_operator=np.greater_equal,
                zero_padding=True,
            )
            larger = [da.pad(y=(0, 1), x=(0, 1), constant_values=0.0) for da in (one, obs)]
            ours = fss(*larger, threshold=0.5, scale_km=size, edges="zero", **GRID)
            assert ours == pytest.approx(float(theirs), rel=1e-12), size

    def test_equals_what_pysteps_returned(self):
        """`pysteps` (verification.spatialscores.fss) pads with zeros and has odd windows.

        Its values are recorded here for fields of whole numbers from 0 to 10.
        """
        j, i = np.mgrid[0:12, 0:15]
        one = xr.DataArray((7 * j + 5 * i + i * j) % 11, dims=("y", "x"))
        obs = xr.DataArray((3 * j * j + 2 * i + i * j) % 11, dims=("y", "x"))
        theirs = [0.384, 0.7822335025380709, 0.8948004836759372, 0.9515868776881343]
        ours = fss(one, obs, threshold=7, scale_km=[1, 3, 5, 9], edges="zero", **GRID)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)

    @pytest.mark.parametrize("edges", ["shrink", "inside", "zero"])
    def test_a_perfect_forecast_has_exactly_one(self, obs, edges):
        ens = xr.concat([obs, obs, obs], "member")
        assert (fss(ens, obs, threshold=[0.5, 1], scale_km=SCALES, edges=edges, **GRID) == 1).all()

    def test_at_one_point_it_is_the_overlap(self, ens, obs):
        """Without a neighbourhood it is 2 a / (2 a + b + c), the score of Dice."""
        one = ens.isel(member=0).where(obs.notnull())
        hits, misses, false, _ = contingency(one, obs, threshold=0.5).values
        expected = 2 * hits / (2 * hits + misses + false)
        assert fss(one, obs, threshold=0.5, scale_km=0.1) == pytest.approx(expected)

    def test_windows_over_all_leave_the_bias_in_frequency(self):
        one, obs = fields(8, 8)
        f, o = (one >= 0.2).mean().item(), (obs >= 0.7).mean().item()
        binary = [(one >= 0.2).astype(float), (obs >= 0.7).astype(float)]
        result = fss(*binary, threshold=1, scale_km=16, **GRID)
        assert result == pytest.approx(2 * f * o / (f**2 + o**2))

    def test_grows_with_the_scale_for_rain_in_the_wrong_place(self):
        obs = xr.DataArray(np.zeros((30, 30)), dims=("y", "x"))
        obs[10:14, 10:14] = 1.0
        result = fss(obs.roll(x=5), obs, threshold=1, scale_km=[1, 3, 7, 13, 25], **GRID)
        assert result[0] == 0
        assert (np.diff(result) > 0).all()

    @pytest.mark.parametrize("edges", ["shrink", "inside", "zero"])
    def test_moving_both_fields_changes_nothing_away_from_the_edges(self, edges):
        one, obs = (da.pad(y=12, x=12, constant_values=0.0) for da in fields(6, 6))
        kwargs = {"threshold": 0.5, "scale_km": [1, 4, 5], "edges": edges, **GRID}
        moved = fss(one.roll(y=3, x=-2), obs.roll(y=3, x=-2), **kwargs)
        np.testing.assert_allclose(moved, fss(one, obs, **kwargs), rtol=1e-12)

    def test_windows_are_squares(self):
        """Rain on a diagonal, 2 off: a circle of radius 2 would not reach the corner."""
        obs = xr.DataArray(np.zeros((11, 11)), dims=("y", "x"))
        obs[5, 5] = 1.0
        one = obs.roll(y=4, x=4)
        assert fss(one, obs, threshold=1, scale_km=5, **GRID) > 0
        assert fss(one, obs, threshold=1, scale_km=4, edges="inside", **GRID) == 0


class TestEnsemble:
    def test_averages_the_share_of_the_members(self):
        """Two members on either side of the truth: fractions of a half, where it is one."""
        obs = xr.DataArray(np.zeros((1, 9)), dims=("y", "x"))
        obs[0, 4] = 1.0
        ens = xr.concat([obs, obs.roll(x=1)], "member")
        assert fss(ens, obs, threshold=1, scale_km=1, **GRID) == pytest.approx(1 - 0.5 / 1.5)

    def test_is_no_mean_of_the_scores_of_the_members(self, ens, obs):
        alone = [fss(ens.isel(member=k), obs, threshold=0.5, scale_km=6) for k in range(M)]
        assert fss(ens, obs, threshold=0.5, scale_km=6) > np.mean(alone)

    def test_members_may_come_in_any_order_and_name(self, ens, obs):
        turned = ens.isel(member=[2, 0, 3, 1]).rename(member="number")
        xr.testing.assert_identical(
            fss(turned, obs, threshold=0.5, scale_km=6), fss(ens, obs, threshold=0.5, scale_km=6)
        )

    def test_a_forecast_without_members_is_an_ensemble_of_one(self, ens, obs):
        one, expected = (
            fss(forecast, obs, threshold=0.5, scale_km=6)
            for forecast in (ens.isel(member=0), ens.isel(member=[0]))
        )
        xr.testing.assert_equal(one, expected)


class TestMissing:
    def test_nothing_known_is_nan_not_zero(self, ens, obs):
        for edges in ("shrink", "inside", "zero"):
            result = fss(ens, obs * np.nan, threshold=0.5, scale_km=6, edges=edges)
            assert np.isnan(result), edges

    def test_no_event_in_either_is_nan(self, ens, obs):
        result = fss(0 * ens, 0 * obs, threshold=0.5, scale_km=SCALES)
        assert np.isnan(result).all()

    def test_no_event_in_one_is_zero(self, ens, obs):
        assert fss(0 * ens, obs, threshold=0.5, scale_km=6) == 0

    def test_a_missing_truth_hides_the_forecast_there(self, obs):
        """Forecast and truth agree but where the truth is missing; a zero would spoil it."""
        ens = obs.fillna(9.0)
        for edges in ("shrink", "inside", "zero"):
            assert (fss(ens, obs, threshold=0.5, scale_km=[2, 6], edges=edges) == 1).all()

    def test_skipna_false_does_not_hide_it(self, ens, obs):
        result = fss(ens, obs, threshold=0.5, scale_km=6, skipna=False, dim=())
        assert np.isnan(result).values.tolist() == [False, True] + [False] * (T - 2)
        assert np.isnan(fss(ens, obs, threshold=0.5, scale_km=6, skipna=False))

    def test_a_time_without_truth_is_left_out(self, ens, obs):
        obs[3] = np.nan
        kwargs = {"threshold": 0.5, "scale_km": 6}
        there = [0, 1, 2, 4, 5]
        expected = fss(ens.isel(time=there), obs.isel(time=there), **kwargs)
        xr.testing.assert_allclose(fss(ens, obs, **kwargs), expected)

    def test_points_that_stand_for_nothing_are_as_if_cut_off(self, ens, obs):
        """A frame of missing points and the edge of the field are one to shrinking windows."""
        inner = {"y": slice(2, -2), "x": slice(2, -2)}
        framed = obs.where(xr.zeros_like(obs.isel(inner)).reindex_like(obs).notnull())
        kwargs = {"threshold": 0.5, "scale_km": [2, 6, 10]}
        np.testing.assert_allclose(
            fss(ens, framed, **kwargs), fss(ens.isel(inner), obs.isel(inner), **kwargs)
        )


class TestAverage:
    def test_rows_and_columns_are_averaged_in_any_case(self, ens, obs):
        kwargs = {"threshold": 0.5, "scale_km": 6}
        each = fss(ens, obs, dim=(), **kwargs)
        assert each.dims == ("time",)
        np.testing.assert_array_equal(each.time, obs.time)
        xr.testing.assert_identical(fss(ens, obs, dim=("y", "x"), **kwargs), each)
        xr.testing.assert_identical(fss(ens, obs, dim="y", **kwargs), each)
        xr.testing.assert_identical(fss(ens, obs, dim="time", **kwargs), fss(ens, obs, **kwargs))

    def test_sums_over_time_before_it_divides(self, ens, obs):
        kwargs = {"threshold": 0.5, "scale_km": 6}
        obs[0] = 0.0
        pooled = by_hand(ens.values, obs.values, np.float32(0.5), (3, 3))
        assert fss(ens, obs, **kwargs) == pytest.approx(pooled, rel=1e-12)
        assert abs(fss(ens, obs, dim=(), **kwargs).mean() - pooled) > 1e-3

    def test_weights_are_those_of_the_centres(self, ens, obs):
        kwargs = {"threshold": 0.5, "scale_km": 6}
        only = xr.DataArray(np.zeros(T), coords={"time": obs.time}, dims="time")
        only[2] = 3.0
        expected = fss(ens.isel(time=[2]), obs.isel(time=[2]), **kwargs)
        xr.testing.assert_allclose(fss(ens, obs, weights=only, **kwargs), expected)
        half = xr.DataArray([1.0, 1, 1, 1, 0, 0, 0, 0, 0], coords={"y": obs.y}, dims="y")
        cut = {"y": slice(5)}  # the windows of the first 4 rows reach one further
        expected = fss(ens.isel(cut), obs.isel(cut), weights=half.isel(cut), **kwargs)
        xr.testing.assert_allclose(fss(ens, obs, weights=half, **kwargs), expected)

    def test_weights_must_be_weights(self, ens, obs):
        for bad in (-1.0, np.nan):
            weights = xr.DataArray(np.full(Y, bad), coords={"y": obs.y}, dims="y")
            with pytest.raises(InputError, match="missing or negative"):
                fss(ens, obs, threshold=0.5, scale_km=6, weights=weights)

    def test_weights_that_are_missing_are_zero_if_lazy(self, ens, obs):
        some = xr.DataArray([np.nan, 2, 3] * 3, coords={"y": obs.y}, dims="y")
        found = fss(ens, obs, threshold=0.5, scale_km=6, dim=..., weights=some.chunk())
        expected = fss(ens, obs, threshold=0.5, scale_km=6, weights=some.fillna(0))
        xr.testing.assert_allclose(found, expected)

    def test_has_an_interval(self, ens, obs):
        result = fss(ens, obs, threshold=[0.5, 1], scale_km=[2, 6], ci=0.9)
        assert set(result.dims) == {"threshold", "scale", "bound"}
        lower, estimate, upper = (result.sel(bound=b) for b in ("lower", "estimate", "upper"))
        assert (lower < upper).all()
        np.testing.assert_allclose(estimate, fss(ens, obs, threshold=[0.5, 1], scale_km=[2, 6]))

    @pytest.mark.parametrize(
        "chunks", [{"member": 1, "y": 4}, {"member": 3, "time": 2, "x": 5}, {"time": 1}]
    )
    def test_is_lazy_and_the_same_for_any_chunks(self, ens, obs, chunks):
        small = {d: c for d, c in chunks.items() if d != "member"}
        weights = xr.DataArray(np.arange(1.0, Y + 1), coords={"y": obs.y}, dims="y")
        kwargs = {"threshold": [0.5, 1.0], "scale_km": SCALES, "weights": weights}
        with raise_if_dask_computes():
            lazy = [
                fss(ens.chunk(chunks), obs.chunk(small), **kwargs),
                fss(ens.chunk(chunks), obs, **kwargs),
                fss(ens, obs.chunk(small), **kwargs),
            ]
        for result in lazy:
            assert dask.is_dask_collection(result)
            xr.testing.assert_allclose(result, fss(ens, obs, **kwargs))

    def test_large_data_in_memory_are_cut_into_pieces(self, ens, obs, monkeypatch):
        weights = xr.DataArray(np.arange(1.0, Y + 1), coords={"y": obs.y}, dims="y")
        kwargs = {"threshold": [0.5, 1.0], "scale_km": SCALES, "weights": weights}
        expected = fss(ens, obs, **kwargs)
        monkeypatch.setattr("xresdiff.verify.pieces.PIECE_VALUES", 64)
        xr.testing.assert_allclose(fss(ens, obs, **kwargs), expected)

    def test_leaves_its_input_alone(self, ens, obs):
        before = ens.copy(deep=True), obs.copy(deep=True)
        fss(ens, obs, threshold=0.5, scale_km=6)
        xr.testing.assert_identical(ens, before[0])
        xr.testing.assert_identical(obs, before[1])

    def test_takes_any_order_of_dimensions(self, ens, obs):
        kwargs = {"threshold": [0.5], "scale_km": [2, 6]}
        turned = fss(ens.transpose("x", "member", ...), obs.transpose("x", ...), **kwargs)
        xr.testing.assert_allclose(turned, fss(ens, obs, **kwargs))

    def test_a_truth_without_time_is_repeated(self, ens, obs):
        first = obs.isel(time=0, drop=True)
        repeated = first.expand_dims(time=ens.time)
        kwargs = {"threshold": 0.5, "scale_km": 6}
        xr.testing.assert_allclose(fss(ens, first, **kwargs), fss(ens, repeated, **kwargs))


class TestLabels:
    def test_of_thresholds_and_scales(self, ens, obs):
        result = fss(ens, obs, threshold=[0.5, 1.0], scale_km=[0.5, 5, 6, 7.1])
        assert result.dims == ("threshold", "scale")
        assert result.scale.values.tolist() == [0.5, 5, 6, 7.1]
        assert result.scale.attrs["units"] == "km"
        assert result.threshold.attrs["units"] == "mm h-1"
        assert result.attrs == {"long_name": "fractions skill score of rain", "units": "1"}

    def test_windows_have_the_nearest_number_of_points(self, ens, obs):
        grid = {"sides": ("y", "x"), "spacing_km": (2.0, 1.0)}
        result = fss(ens, obs, threshold=1, scale_km=[0.5, 5, 6, 7.1], **grid)
        assert result.window_y.values.tolist() == [1, 3, 3, 4]
        assert result.window_x.values.tolist() == [1, 5, 6, 7]

    def test_spacing_is_that_of_the_coordinates(self, ens, obs):
        found = fss(ens, obs, threshold=1, scale_km=6)
        xr.testing.assert_identical(
            found, fss(ens, obs, threshold=1, scale_km=6, sides=("y", "x"), spacing_km=2.0)
        )
        turned = fss(ens, obs, threshold=1, scale_km=[6], sides=("x", "y"))
        assert turned.window_x == 3

    def test_takes_datasets_variable_by_variable(self, ens, obs):
        more = xr.Dataset({"rain": ens, "other": 2 * ens, "index": ens.mean(("y", "x"))})
        truth = xr.Dataset({"rain": obs, "other": obs, "index": obs.mean(("y", "x"))})
        result = fss(more, truth, threshold=[1.0], scale_km=6)
        assert list(result.data_vars) == ["rain", "other"]
        xr.testing.assert_allclose(result.rain, fss(ens, obs, threshold=[1.0], scale_km=6))


class TestRefusals:
    @pytest.mark.parametrize("scale_km", [0, -1.0, [1.0, 0.0], [], "large"])
    def test_of_scales(self, ens, obs, scale_km):
        with pytest.raises(InputError, match="scale_km"):
            fss(ens, obs, threshold=1, scale_km=scale_km)

    def test_of_edges(self, ens, obs):
        with pytest.raises(InputError, match="edges='shrink', 'inside' or 'zero', not 'wrap'"):
            fss(ens, obs, threshold=1, scale_km=6, edges="wrap")

    def test_of_sides_that_are_not_there(self, ens, obs):
        with pytest.raises(InputError, match=r"no dimensions \['lat'\]; name two of sides="):
            fss(ens, obs, threshold=1, scale_km=6, sides=("lat", "x"), spacing_km=1.0)

    def test_of_sides_of_unknown_spacing(self, ens, obs):
        with pytest.raises(InputError, match="give the spacing along yours too"):
            fss(ens, obs, threshold=1, scale_km=6, sides=("time", "x"))

    def test_of_an_uneven_grid(self, ens, obs):
        uneven = [da.isel(y=[0, 1, 2, 4, 7]) for da in (ens, obs)]
        with pytest.raises(InputError, match="without spacing_km="):
            fss(*uneven, threshold=1, scale_km=6)

    def test_of_stations(self, ens, obs):
        ens = ens.drop_vars(("y", "x")).rename(y="lat", x="lon")
        ens = ens.assign_coords(lat=50 + 0.1 * np.arange(Y), lon=8 + 0.1 * np.arange(X))
        places = {"lat": ("station", [50.15, 50.3]), "lon": ("station", [8.2, 8.35])}
        stations = obs.isel(y=0, x=[0, 1], drop=True).drop_vars("x").rename(x="station")
        with pytest.raises(InputError, match=r"obs is along \('time', 'station'\): give fields on"):
            fss(ens, stations.assign_coords(places), threshold=1, scale_km=20)

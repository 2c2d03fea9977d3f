"""Densities and quantiles are those of numpy, of data of any size, read chunk by chunk."""

import tracemalloc

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.distributions import pdf, quantiles
from xresdiff.verify.kernels import selection
from xresdiff.verify.rain import is_rain, rain_units

M, T, Y, X = 3, 4, 10, 12
Q = [0, 0.013, 0.25, 0.5, 0.77, 0.999, 1]


def temperature(dtype=np.float32, decimals=1):
    """Values with ties, and some missing."""
    values = np.random.default_rng(0).normal(0, 10, size=(M, T, Y, X)).round(decimals)
    values[0, 1, :4] = np.nan
    attrs = {"units": "degC", "long_name": "temperature"}
    dims = ("member", "time", "y", "x")
    return xr.DataArray(values.astype(dtype), dims=dims, name="t2m", attrs=attrs)


def rain():
    """Rain in SI units, half of it dry."""
    values = np.random.default_rng(1).gamma(0.3, 5, size=(M, T, Y, X))
    values[values < np.median(values)] = 0
    attrs = {"units": "kg m-2 s-1", "standard_name": "precipitation_flux"}
    dims = ("member", "time", "y", "x")
    return xr.DataArray((values / 3600).astype(np.float32), dims=dims, name="pr", attrs=attrs)


def known(da):
    values = da.values.astype(float)
    return values[~np.isnan(values)]


def integral(density):
    return (density * (density["upper"] - density["lower"])).sum("bin")


BOTH = pytest.mark.parametrize("estimate", [pdf, quantiles])


@BOTH
class TestBoth:
    @pytest.mark.parametrize("chunks", [{"time": 1}, {"member": 2, "y": 3, "x": 5}, {}])
    @pytest.mark.parametrize("dim", [None, "member", ("time", "y", "x")])
    def test_is_lazy_and_the_same_for_any_chunks(self, estimate, chunks, dim):
        da = temperature()
        with raise_if_dask_computes():
            lazy = estimate(da.chunk(chunks), dim=dim)
        assert all(c.chunks is not None for n, c in lazy.coords.items() if n != "quantile")
        assert dask.is_dask_collection(lazy)
        xr.testing.assert_allclose(lazy, estimate(da, dim=dim))

    def test_nothing_known_is_nothing_known(self, estimate):
        da = temperature()
        assert np.isnan(estimate(da.where(False))).all()
        da[0] = np.nan
        by_member = estimate(da, dim=("time", "y", "x"))
        np.testing.assert_array_equal(np.isnan(by_member).all(by_member.dims[-1]), [1, 0, 0])

    def test_does_not_depend_on_the_order_of_members(self, estimate):
        da = temperature()
        xr.testing.assert_identical(estimate(da[::-1]), estimate(da))

    def test_takes_datasets_variable_by_variable(self, estimate):
        table = xr.Dataset({"t2m": temperature(), "pr": rain(), "crs": 0, "mask": ("y", [1] * Y)})
        result = estimate(table, dim=("time", "x"))
        assert set(result.data_vars) == {"t2m", "pr"}
        single = estimate(table["t2m"], dim=("time", "x"))
        np.testing.assert_array_equal(result["t2m"], single)
        assert result["t2m"].attrs == single.attrs

    @pytest.mark.parametrize("dtype", [np.float16, np.int16, np.uint8, bool])
    def test_takes_any_numbers(self, estimate, dtype):
        da = temperature().fillna(0).clip(0, 100).astype(dtype)
        xr.testing.assert_allclose(estimate(da), estimate(da.astype(float)))

    @pytest.mark.parametrize("lazy", [False, True])
    @pytest.mark.parametrize("dtype", [np.float32, np.int16])
    def test_of_nothing_is_unknown(self, estimate, lazy, dtype):
        for da in (xr.DataArray(np.empty((0,), dtype)), xr.DataArray(np.empty((3, 0), dtype))):
            da = da.chunk() if lazy else da
            assert np.isnan(estimate(da)).all()
            last = estimate(da, dim=da.dims[-1])
            assert last.sizes.get("dim_0", 3) == 3
            assert np.isnan(last).all()
        none = xr.DataArray(np.empty((0, 3)))
        assert estimate(none.chunk() if lazy else none, dim="dim_1").compute().sizes["dim_0"] == 0

    def test_pools_all_for_an_ellipsis(self, estimate):
        xr.testing.assert_identical(estimate(temperature(), dim=...), estimate(temperature()))

    def test_has_a_few_tasks_for_each_chunk_however_much_is_kept(self, estimate):
        def tasks(times):
            data = dask.array.zeros((4, times, 3000, 3000), chunks=(1, 1, 3000, 3000), dtype="f4")
            da = xr.DataArray(data, dims=("member", "time", "y", "x"))
            return len(estimate(da, dim=("member", "y", "x")).__dask_graph__())

        assert tasks(40) < 2.2 * tasks(20) < 2.2 * 25 * 4 * 20

    def test_refuses_dimensions_that_are_not_there(self, estimate):
        with pytest.raises(InputError, match=r"cannot pool \('z',\).*dim=\('member', 'time'"):
            estimate(temperature(), dim="z")

    def test_refuses_text(self, estimate):
        with pytest.raises(InputError, match="no numeric variable"):
            estimate(xr.DataArray(["a"], dims="x"))

    def test_leaves_its_input_alone(self, estimate):
        da = temperature()
        estimate(da)
        xr.testing.assert_identical(da, temperature())


class TestPdf:
    @pytest.mark.parametrize("bins", [None, 7, [-5.0, 0.0, 1.0, 20.0]])
    def test_is_the_histogram_of_numpy(self, bins):
        da = temperature()
        density = pdf(da, bins=bins)
        counts, edges = np.histogram(known(da), 60 if bins is None else bins)
        np.testing.assert_allclose(density["lower"], edges[:-1])
        np.testing.assert_allclose(density["upper"], edges[1:])
        np.testing.assert_allclose(density["value"], (edges[1:] + edges[:-1]) / 2)
        np.testing.assert_allclose(density, counts / np.diff(edges) / known(da).size, rtol=1e-6)

    def test_loses_nothing_outside_of_the_bins(self):
        da = temperature()
        density = pdf(da, bins=[-5.0, 0.0, 1.0], dim=("time", "y", "x"))
        values = da.values[1]
        assert density["below"][1] == pytest.approx((values < -5).mean())
        assert density["above"][1] == pytest.approx((values > 1).mean())
        np.testing.assert_allclose(integral(density) + density["below"] + density["above"], 1)

    def test_of_rain_has_logarithmic_bins_and_dry_points(self):
        density = pdf(rain())
        edges = np.append(density["lower"], density["upper"][-1]) * 3600
        np.testing.assert_allclose(edges, np.geomspace(0.1, 500, 31), rtol=1e-6)
        np.testing.assert_allclose(density["value"], (density["lower"] * density["upper"]) ** 0.5)
        assert density["below"] == pytest.approx((rain() * 3600 < 0.1).mean().item())
        assert integral(density) + density["below"] + density["above"] == pytest.approx(1)

    def test_of_a_constant_has_a_finite_density(self):
        density = pdf(xr.DataArray(np.full(10, 3.0), dims="x"), bins=4)
        assert integral(density) == pytest.approx(1)
        assert density["lower"][0] == 2.5

    @pytest.mark.parametrize("lazy", [False, True])
    @pytest.mark.filterwarnings("error")
    def test_infinite_values_are_outside_of_the_bins(self, lazy):
        da = xr.DataArray([-np.inf, 1.0, 2.0, 3.0, np.inf, np.inf, np.nan], dims="x")
        density = pdf(da.chunk(x=2) if lazy else da, bins=2).compute()
        np.testing.assert_allclose(density, [1 / 6, 2 / 6])
        np.testing.assert_allclose(density["value"], [1.5, 2.5])
        assert (density["below"], density["above"]) == (pytest.approx(1 / 6), pytest.approx(1 / 3))
        alone = pdf(da.where(np.isinf(da)))
        assert (alone["below"], alone["above"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))

    @pytest.mark.parametrize(
        ("value", "step"), [(1e17, 0), (-1e17, 0), (3e38, 0), (1e17, 1), (1.0, 1), (0.0, 0)]
    )
    @pytest.mark.filterwarnings("error")
    def test_of_large_values_that_hardly_differ_is_finite(self, value, step):
        da = xr.DataArray([value, value + step * np.spacing(value)], dims="x")
        density = pdf(da)
        assert np.isfinite(density).all()
        assert (density["upper"] > density["lower"]).all()
        assert integral(density) == pytest.approx(1)

    def test_an_edge_is_reached_by_its_own_value_in_any_precision(self):
        da = xr.DataArray(np.array([0.7, 0.7], np.float32), dims="x")
        density = pdf(da, bins=[0.0, 0.7, 1.0])
        assert density.values.tolist() == [0, pytest.approx(1 / 0.3)]
        assert density["lower"].values.tolist() == [0, 0.7]
        drizzle = da * 0 + np.float32(0.1 / 3600)
        assert pdf(drizzle.assign_attrs(rain().attrs))["below"] == 0

    def test_has_units_of_one_over_those_of_the_data(self):
        density = pdf(temperature())
        assert density.attrs["units"] == "1/(degC)"
        assert density.attrs["long_name"] == "probability density of temperature"
        assert density["value"].attrs == {"units": "degC", "long_name": "temperature"}
        assert "units" not in pdf(temperature().drop_attrs()).attrs

    def test_names_in_a_dataset_begin_with_the_variable(self):
        result = pdf(xr.Dataset({"t2m": temperature(), "pr": rain()}))
        assert result["pr"].dims == ("pr_bin",)
        assert {"t2m_value", "t2m_lower", "t2m_upper", "pr_below", "pr_above"} <= set(result.coords)

    @pytest.mark.parametrize("bins", [0, [1.0], [1.0, 1.0], [2.0, 1.0], [[1.0, 2.0]]])
    def test_refuses_what_are_no_bins(self, bins):
        with pytest.raises(InputError, match=r"two increasing edges or more.*bins=60"):
            pdf(temperature(), bins=bins)

    def test_infinite_values_are_outside_of_given_bins(self):
        da = xr.DataArray([-np.inf, 0.5, np.inf, np.inf], dims="x")
        density = pdf(da, bins=[0.0, 1.0])
        assert (density["below"], density["above"], density[0]) == (0.25, 0.5, 0.25)


class TestQuantiles:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("decimals", [0, 9])
    @pytest.mark.parametrize("chunks", [None, {"time": 1, "y": 3}])
    def test_are_those_of_numpy_to_the_last_digit(self, dtype, decimals, chunks):
        da = temperature(dtype, decimals)
        found = quantiles(da if chunks is None else da.chunk(chunks), Q)
        np.testing.assert_array_equal(found, np.nanquantile(da.values.astype(float), Q))
        np.testing.assert_array_equal(found["quantile"], Q)

    @pytest.mark.parametrize("dim", ["member", ("time", "x"), ("time", "y", "x")])
    def test_over_some_dimensions_are_those_of_numpy(self, dim):
        da = temperature().astype(float)
        axes = tuple(da.dims.index(d) for d in ([dim] if isinstance(dim, str) else dim))
        found = quantiles(da, Q, dim=dim).transpose("quantile", ...)
        np.testing.assert_array_equal(found, np.nanquantile(da.values, Q, axis=axes))

    def test_rows_too_large_to_sort_are_counted(self, monkeypatch):
        da = temperature().assign_coords(
            member=[3, 4, 7], start=("member", [0.0, 6.0, 12.0]), z=2.0
        )
        expected = quantiles(da, Q, dim=("time", "y", "x"))
        monkeypatch.setattr("xresdiff.verify.distributions.MOST_BYTES", 100)
        monkeypatch.setattr(selection, "quantiles", None)
        found = quantiles(da.chunk(time=1), Q, dim=("time", "y", "x"))
        xr.testing.assert_identical(found.compute(), expected)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("most", [2**16, 2**11, 1])
    def test_of_many_rows_are_counted_with_short_digits(self, monkeypatch, dtype, most):
        da = temperature(dtype, 9)
        expected = quantiles(da, Q, dim=("member", "x"))
        monkeypatch.setattr("xresdiff.verify.distributions.MOST_BYTES", 1)
        monkeypatch.setattr(selection, "MOST_COUNTS", most)
        found = quantiles(da.chunk(time=2, x=5, y=3), Q, dim=("member", "x"))
        xr.testing.assert_identical(found.compute(), expected)

    def test_unknown_values_make_them_unknown_without_skipna(self):
        da = temperature()
        assert np.isnan(quantiles(da, skipna=False)).all()
        assert np.isnan(quantiles(da.chunk(time=1), skipna=False)).all()
        by_member = quantiles(da, 0.5, dim=("time", "y", "x"), skipna=False)
        np.testing.assert_array_equal(np.isnan(by_member), [True, False, False])
        whole = da[1:]
        xr.testing.assert_identical(quantiles(whole, skipna=False), quantiles(whole))

    def test_a_number_makes_no_dimension(self):
        found = quantiles(temperature(), 0.5)
        assert found.dims == ()
        assert found["quantile"] == 0.5
        assert found.attrs == {"long_name": "quantiles of temperature", "units": "degC"}

    @pytest.mark.parametrize("q", [-0.1, 1.1, [], [0.5, np.nan]])
    def test_refuses_what_is_no_share(self, q):
        with pytest.raises(InputError, match=r"shares from 0 to 1, not .*q=\[0.5, 0.99\]"):
            quantiles(temperature(), q)

    def test_infinite_values_are_in_order(self):
        da = xr.DataArray([np.inf, -np.inf, 1.0, np.inf], dims="x")
        for pooled in (da, da.chunk(x=1)):
            np.testing.assert_array_equal(quantiles(pooled, [0, 0.9, 1]), [-np.inf, np.inf, np.inf])

    @given(
        values=st.sampled_from([np.float32, np.float64]).flatmap(
            lambda dtype: hnp.arrays(
                dtype,
                st.integers(1, 40),
                elements=st.floats(
                    allow_infinity=False,
                    width=8 * np.dtype(dtype).itemsize,
                    min_value=-(2.0**100),
                    max_value=2.0**100,
                ),
            )
        ),
        q=st.floats(0, 1),
    )
    def test_of_any_values_are_those_of_numpy(self, values, q):
        found = quantiles(xr.DataArray(values, dims="x"), q)
        if np.isnan(values).all():
            assert np.isnan(found)
        else:
            np.testing.assert_array_equal(found, np.nanquantile(values.astype(float), q))


@pytest.mark.parametrize(
    ("estimate", "dtype", "passes"),
    [(quantiles, np.float32, 2), (quantiles, np.float64, 4), (pdf, np.float32, 2)],
)
def test_reads_one_chunk_after_the_other_pass_by_pass(estimate, dtype, passes):
    reads = []

    def read(block_info=None):
        (place, *_) = block_info[None]["chunk-location"]
        reads.append(place)
        return np.full((1, 100), place, dtype)

    data = dask.array.map_blocks(
        read, chunks=((1,) * 6, 100), dtype=dtype, meta=np.empty((0, 0), dtype)
    )
    estimate(xr.DataArray(data, dims=("time", "x"))).compute(scheduler="sync")
    assert [sorted(reads[i : i + 6]) for i in range(0, len(reads), 6)] == [[*range(6)]] * passes


def test_reads_each_chunk_once_a_pass_where_rows_are_kept(monkeypatch):
    monkeypatch.setattr("xresdiff.verify.distributions.MOST_BYTES", 1)
    reads = []

    def read(block):
        reads.append(block.shape)
        return block

    da = temperature().chunk(time=1, member=1)
    da.data = da.data.map_blocks(read, meta=np.empty((0,) * 4, np.float32))
    quantiles(da, dim=("member", "y", "x")).compute(scheduler="sync")
    assert len(reads) == 2 * M * T


def test_holds_a_few_chunks_where_rows_are_kept(monkeypatch):
    monkeypatch.setattr("xresdiff.verify.distributions.MOST_BYTES", 1)

    def read(block_info=None):
        rng = np.random.default_rng(block_info[None]["chunk-location"])
        return rng.random((1, 1, 2**14), np.float32)

    data = dask.array.map_blocks(
        read, chunks=((1,) * 8, (1,) * 8, 2**14), dtype="f4", meta=np.empty((0,) * 3, "f4")
    )
    da = xr.DataArray(data, dims=("member", "time", "x"))
    tracemalloc.start()
    quantiles(da, 0.5, dim=("member", "x")).compute(scheduler="sync")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 28 * 2**20  # the counts of all chunks are 64 MB


def test_reads_rain_once():
    reads = []

    def read(block):
        reads.append(block.shape)
        return block

    lazy = rain().chunk(time=1)
    lazy.data = lazy.data.map_blocks(read, meta=np.empty((0,) * 4, np.float32))
    dask.compute(pdf(lazy))
    assert len(reads) == T


@pytest.mark.parametrize(
    ("attrs", "name", "expected"),
    [
        ({"standard_name": "precipitation_flux"}, "pr", True),
        ({"long_name": "Rain rate"}, None, True),
        ({"standard_name": "air_temperature"}, "t2m", False),
        ({}, "total_precipitation", True),
        ({}, "tp", True),
        ({"long_name": "rain residual"}, None, False),
        ({"long_name": "terrain height"}, None, False),
        ({}, "precip_error", False),
    ],
)
def test_knows_rain_by_what_it_is_called(attrs, name, expected):
    assert is_rain(xr.DataArray(0.0, name=name, attrs=attrs)) is expected


class TestOrder:
    @given(
        values=hnp.arrays(
            np.float32, st.integers(2, 30), elements=st.floats(width=32, allow_nan=False)
        )
    )
    def test_of_whole_numbers_is_that_of_floats(self, values):
        keys = selection.ordered(values)
        np.testing.assert_array_equal(selection.unordered(keys, np.float32), values)
        np.testing.assert_array_equal(values[np.argsort(keys)], np.sort(values))


@pytest.mark.parametrize(
    ("units", "expected"),
    [("kg m-2 s-1", "mm h-1"), ("m", "mm"), ("kg m-2", "mm"), ("K", None), ("1", None)],
)
def test_shows_rain_as_a_rate_or_as_an_amount(units, expected):
    assert rain_units(xr.DataArray(0.0, name="tp", attrs={"units": units})) == expected


def test_amounts_of_rain_have_logarithmic_bins():
    amounts = xr.DataArray([0.0, 0.001, 0.01], dims="x", name="tp", attrs={"units": "m"})
    found = pdf(amounts)
    np.testing.assert_allclose(found.lower[0], 1e-4)
    assert found.below == pytest.approx(1 / 3)

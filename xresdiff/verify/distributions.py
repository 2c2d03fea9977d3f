"""Distributions of the values of a variable: densities and quantiles, of data of any size."""

from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.units import convert
from xresdiff.verify.arguments import listed
from xresdiff.verify.chunks import by_chunk
from xresdiff.verify.kernels import selection
from xresdiff.verify.pairs import as_dataset, label
from xresdiff.verify.rain import is_rain, rain_units
from xresdiff.verify.types import Dims, Labelled

__all__ = ["pdf", "quantiles"]

#: Bins of rain, on a logarithmic scale: what is less is dry.
RAIN_RANGE = (0.1, 500.0)

#: Bins by default. Those of rain are wider than the steps of 0.1 mm h-1 that radars have.
BINS = 60
RAIN_BINS = 30
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)

#: Names of the shares of values outside of all bins.
OUTSIDE = ("below", "above")

#: Rows of more bytes than this are not brought into one chunk to be sorted.
MOST_BYTES = 2**27


def pdf(da: Labelled, *, dim: Dims = None, bins: int | Sequence[float] | None = None) -> Labelled:
    """Estimate the probability density of every variable with a histogram.

    Parameters
    ----------
    da : xarray.DataArray or xarray.Dataset
        An ensemble, or the truth. Of a Dataset the numeric variables count that have any of `dim`.
    dim : Hashable or iterable of Hashable, optional
        Dimensions whose values are pooled; all by default, the members too.
    bins : int or sequence of float, optional
        Number of bins, or their edges in the units of `da`. By default 60 equal ones from the
        least to the largest value, but for infinite ones; of rain, 30 on a logarithmic scale
        from 0.1 to 500 mm h-1 (or mm), 8 to a factor of ten. Data are compared with edges that are
        given, and those of rain, in their own precision.
        Without edges lazy data, but rain, are read twice: first for the least and the largest
        value, then to count.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., bin)
        Density, in 1 / units, with the coordinates `lower`, `upper` (the edges of the bins) and
        `value` (their middle), `below` and `above` (the share of the values outside of the bins;
        `below` are the dry points of rain). NaN does not count, so `below`, `above` and the
        integral of the density add up to 1. In a Dataset the names of dimension and coordinates
        begin with that of the variable, such as `t2m_bin` and `t2m_value`. Lazy if `da` is, all
        coordinates too; NaN where all is missing.

    Raises
    ------
    InputError
        If there is no such dimension, no numeric variable, no bin, or edges that do not increase.

    Examples
    --------
    >>> density = pdf(xr.DataArray([0.0, 1.0, 1.5, 2.0], dims="x"), bins=2)
    >>> density.values, density["value"].values
    (array([0.25, 0.75]), array([0.5, 1.5]))
    """
    _check_bins(bins)

    def estimate(field: xr.DataArray, dims: list[Hashable]) -> xr.DataArray:
        edges, logarithmic = _edges(field, bins)
        exact = edges if edges.chunks is not None else _in_precision_of(field, edges)
        read = _read_after(field, edges)
        counts = _count(read, dims, selection.histogram, {"bin": edges.size + 1}, exact)
        return _density(field, counts, edges, logarithmic)

    return _by_variable(estimate, da, dim, prefix=("bin", "value", "lower", "upper", *OUTSIDE))


def quantiles(
    da: Labelled,
    q: float | Sequence[float] = QUANTILES,
    *,
    dim: Dims = None,
    skipna: bool = True,
) -> Labelled:
    """Take quantiles of every variable, exactly, of data of any size.

    They are linear between order statistics, as those of numpy. Nothing is sorted where all
    dimensions are pooled: the order statistics are found by counting, in two passes over float32
    and four over float64 data, each of which holds a chunk at a time. Where some dimensions are
    kept, the others are brought into one chunk and sorted, unless that would be large: then they
    are counted too, in twice as many passes where a chunk has more than a few rows that are kept.

    Parameters
    ----------
    da : xarray.DataArray or xarray.Dataset
        An ensemble, or the truth. Of a Dataset the numeric variables count that have any of `dim`.
    q : float or sequence of float
        Shares of the values that lie below, from 0 to 1.
    dim : Hashable or iterable of Hashable, optional
        Dimensions whose values are pooled; all by default, the members too.
    skipna : bool, default True
        Leave NaN out; else quantiles of anything with NaN are NaN.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., quantile)
        Quantiles in the units of `da`, without the dimension if `q` is a number. Lazy if `da` is;
        NaN where all is missing.

    Raises
    ------
    InputError
        If there is no such dimension, no numeric variable, or `q` is not from 0 to 1.

    Examples
    --------
    >>> quantiles(xr.DataArray([3.0, np.nan, 1.0], dims="x"), [0.5, 1.0]).values
    array([2., 3.])
    """
    shares = tuple(float(share) for share in np.ravel(q))
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise InputError(f"quantiles are shares from 0 to 1, not {q!r}: q=[0.5, 0.99]")
    attrs = {"long_name": "share of the values that lie below", "units": "1"}

    def estimate(field: xr.DataArray, dims: list[Hashable]) -> xr.DataArray:
        found = _quantiles(field, dims, shares, skipna)
        found = found.assign_coords(quantile=("quantile", list(shares), attrs))
        units = {n: v for n, v in field.attrs.items() if n == "units"}
        found.attrs = {"long_name": f"quantiles of {label(field)}"} | units
        return found.isel(quantile=0) if np.ndim(q) == 0 else found

    return _by_variable(estimate, da, dim)


def _by_variable(
    estimate: Callable[[xr.DataArray, list[Hashable]], xr.DataArray],
    da: Labelled,
    dim: Dims,
    prefix: Sequence[str] = (),
) -> Labelled:
    """Apply to every variable; in a Dataset, names in `prefix` get that of the variable."""
    dims = tuple(da.dims) if dim is None or dim is ... else listed(dim)
    if not set(dims) <= set(da.dims):
        there = tuple(da.dims)
        raise InputError(f"cannot pool {dims}: there is {there}. Name some of these, dim={there!r}")
    results = {}
    table = as_dataset(da)
    for name, field in table.data_vars.items():
        own = [d for d in field.dims if d in dims]
        if field.dtype.kind not in "fiub" or not own:
            continue
        result = estimate(_as_floats(field), own)
        names = {n: f"{name}_{n}" for n in prefix}
        results[name] = result.rename(names) if table is da else result
    if not results:
        raise InputError(f"there is no numeric variable with any of {dims}: select variables")
    if isinstance(da, xr.DataArray):
        (result,) = results.values()
        return result.rename(da.name)
    return xr.Dataset(results)


def _as_floats(field: xr.DataArray) -> xr.DataArray:
    """Make floats of 4 or 8 bytes of anything else."""
    if field.dtype in (np.float32, np.float64):
        return field
    return field.astype(np.float32 if field.dtype == np.float16 else np.float64)


def _check_bins(bins: int | Sequence[float] | None) -> None:
    """Refuse bins that are none."""
    if bins is None or (isinstance(bins, int | np.integer) and bins > 0):
        return
    edges = np.asarray(bins, np.float64)
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        raise InputError(
            f"bins are a number of them, or two increasing edges or more, not {bins!r}: bins=60"
        )


def _edges(field: xr.DataArray, bins: int | Sequence[float] | None) -> tuple[xr.DataArray, bool]:
    """Find the edges of the bins, lazily if they depend on lazy data.

    Tells, too, whether the scale is logarithmic.
    """
    if not isinstance(bins, int | np.integer | None):
        return xr.DataArray(np.asarray(bins, np.float64), dims="edge"), False
    units = rain_units(field) if is_rain(field) else None
    if units is not None:
        count = RAIN_BINS if bins is None else int(bins)
        rain = xr.DataArray(
            np.geomspace(*RAIN_RANGE, count + 1), dims="edge", attrs={"units": units}
        )
        return convert(rain, field.attrs["units"]).drop_attrs(), True
    count = BINS if bins is None else int(bins)
    ends = by_chunk(selection.ends, field, dims=field.dims, new={"end": 2}).drop_vars(
        list(field.coords), errors="ignore"
    )
    low, high = ends.isel(end=0).min(field.dims), ends.isel(end=1).max(field.dims)
    equal = partial(selection.equal_edges, bins=count)
    return _step(equal, low, high, dtype=np.float64, edge=count + 1), False


def _in_precision_of(field: xr.DataArray, edges: xr.DataArray) -> xr.DataArray:
    """Round edges to the precision of the data, unless some would be the same."""
    rounded = edges.astype(field.dtype).astype(np.float64)
    return rounded if bool((rounded.diff("edge") > 0).all()) else edges


def _density(
    field: xr.DataArray, counts: xr.DataArray, edges: xr.DataArray, logarithmic: bool
) -> xr.DataArray:
    """Make a density of counts below, in and above bins."""
    shares = counts / counts.sum("bin").where(lambda known: known > 0)
    lower = edges.isel(edge=slice(None, -1)).rename(edge="bin")
    upper = edges.isel(edge=slice(1, None)).rename(edge="bin")
    middle = (lower * upper) ** 0.5 if logarithmic else (lower + upper) / 2
    density = shares.isel(bin=slice(1, -1)) / (upper - lower)
    units = field.attrs.get("units")
    own = {} if units is None else {"units": units}
    inverse = {} if units is None else {"units": "1" if units == "1" else f"1/({units})"}
    of = label(field)
    density.attrs = {"long_name": f"probability density of {of}"} | inverse
    coords = {
        "value": middle.assign_attrs(own, long_name=of),
        "lower": lower.assign_attrs(own, long_name=f"lower edge of the bin of {of}"),
        "upper": upper.assign_attrs(own, long_name=f"upper edge of the bin of {of}"),
    }
    for name, place in zip(OUTSIDE, (0, -1), strict=True):
        attrs = {"long_name": f"share of the values {name} the bins", "units": "1"}
        coords[name] = shares.isel(bin=place).assign_attrs(attrs)
    return density.assign_coords(coords)


def _quantiles(
    field: xr.DataArray, dims: list[Hashable], shares: tuple[float, ...], skipna: bool
) -> xr.DataArray:
    """Take the quantiles of one variable over some of its dimensions."""
    kept = [d for d in field.dims if d not in dims]
    pooled = prod(field.sizes[d] for d in dims)
    lazy = field.chunks is not None
    if not kept or (lazy and (not field.size or pooled * field.dtype.itemsize > MOST_BYTES)):
        return _selected(field, dims, shares, skipna)
    if lazy:
        field = field.chunk(dict.fromkeys(kept, "auto") | dict.fromkeys(dims, -1))
    return xr.apply_ufunc(
        _sorted,
        field,
        kwargs={"sides": len(dims), "shares": shares, "skipna": skipna},
        input_core_dims=[dims],
        output_core_dims=[["quantile"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"quantile": len(shares)}},
        keep_attrs=True,  # of the coordinates
    )


def _sorted(values: Any, *, sides: int, **options: Any) -> Any:
    """Take quantiles of the last `sides` axes by sorting."""
    return selection.quantiles(_pooled(values, sides), **options)


def _pooled(values: Any, sides: int) -> Any:
    """Make one axis of the last ones."""
    lead = values.shape[: values.ndim - sides]
    return values.reshape(*lead, prod(values.shape[len(lead) :]))


def _selected(
    field: xr.DataArray, dims: list[Hashable], shares: tuple[float, ...], skipna: bool
) -> xr.DataArray:
    """Take quantiles by counting, digit by digit, for all that is kept at once."""
    kept = [d for d in field.dims if d not in dims]
    rows = prod(max(field.chunksizes.get(d, (field.sizes[d],)), default=0) for d in kept)
    places = 2 * len(shares)
    bits = selection.digit_bits(rows, places)
    none = xr.DataArray(np.zeros(places, np.uint64), dims="place")  # of the digits is known yet
    counts = _digits(field, dims, none[:1], 0, bits)
    known = counts.sum(["place", "digit"])
    wanted = _step(partial(selection.wanted, shares=shares), known, kept=kept, place=places)
    prefixes = none
    for done in range(selection.passes(field.dtype, bits)):
        if done:
            counts = _digits(_read_after(field, prefixes), dims, prefixes, done, bits)
        counts = counts.rename(place="all")
        both = _step(selection.locate, counts, prefixes, wanted, kept=kept, state=2, place=places)
        prefixes, wanted = both.isel(state=0), both.isel(state=1)
    total = prod(field.sizes[d] for d in dims)
    last = partial(
        selection.interpolate, total=total, shares=shares, dtype=field.dtype, skipna=skipna
    )
    return _step(last, prefixes, known, kept=kept, dtype=np.float64, quantile=len(shares))


def _digits(
    field: xr.DataArray, dims: list[Hashable], prefixes: xr.DataArray, done: int, bits: int
) -> xr.DataArray:
    """Count the digits that follow those known."""
    kernel = partial(selection.count_digits, done=done, bits=bits)
    sizes = {"place": prefixes.sizes["place"], "digit": 1 << bits}
    return _count(field, dims, kernel, sizes, prefixes)


def _step(
    kernel: Callable[..., Any],
    *args: xr.DataArray,
    kept: Sequence[Hashable] = (),
    dtype: Any = np.uint64,
    **sizes: int,
) -> xr.DataArray:
    """Apply a kernel to small arrays, whole but for what is kept, lazily if they are lazy."""
    return xr.apply_ufunc(
        kernel,
        *args,
        input_core_dims=[[d for d in arg.dims if d not in kept] for arg in args],
        output_core_dims=[list(sizes)],
        dask="parallelized",
        output_dtypes=[dtype],
        dask_gufunc_kwargs={"output_sizes": sizes},
        keep_attrs=True,  # of the coordinates
    )


def _read_after(field: xr.DataArray, first: xr.DataArray) -> xr.DataArray:
    """Read lazy data anew, once `first` is known.

    Dask would otherwise keep all that was read for `first` in memory until it is needed again.
    Where that is in several parts, one of them is finished after the other, so reading need not
    wait for them all.
    """
    if field.chunks is None or first.chunks is None:
        return field
    from dask.graph_manipulation import bind, clone

    parts = first.data.npartitions
    return field.copy(data=bind(field.data, first.data) if parts == 1 else clone(field.data))


def _count(
    field: xr.DataArray,
    dims: Collection[Hashable],
    kernel: Callable[..., Any],
    sizes: dict[str, int],
    arg: xr.DataArray,
) -> xr.DataArray:
    """Add up over `dims` what a kernel ``(..., n), arg -> (..., *sizes)`` counts in every chunk."""
    sides = sum(d in dims for d in field.dims)
    whole = partial(_of_pooled, kernel=kernel, sides=sides)
    counts = by_chunk(whole, field, arg, dims=dims, new=sizes, dtype=np.int64)
    return counts.sum(list(dims))


def _of_pooled(values: Any, *args: Any, kernel: Callable[..., Any], sides: int) -> Any:
    """Apply a kernel to the last axes as one."""
    return kernel(_pooled(values, sides), *args)

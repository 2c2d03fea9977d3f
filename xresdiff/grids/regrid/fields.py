"""Move fields onto any grid: weights by xESMF, made once, applied lazily."""

from collections.abc import Hashable
from typing import Any, TypeVar, get_args

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, raise_problems, warn
from xresdiff.grids.cells import corners
from xresdiff.grids.cells.bounds import read_bounds
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.coords import Horizontal, check_order, find_horizontal
from xresdiff.grids.coords.criteria import bounds_names
from xresdiff.grids.regrid import weights
from xresdiff.grids.regrid.crop import crop
from xresdiff.grids.regrid.labelling import TARGET_X, TARGET_Y, labelled
from xresdiff.grids.regrid.make_weights import Method, make_weights
from xresdiff.grids.units.packing import packed_problem

__all__ = ["Method", "cropped", "onto", "regrid", "share_problems"]

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)

NEAREST = ("nearest_s2d", "nearest_d2s")
_UNNAMED = "array"


def regrid(
    obj: Labelled,
    grid: xr.Dataset | xr.DataArray,
    *,
    method: Method = "bilinear",
    skipna: bool = False,
    na_thres: float = 1.0,
) -> Labelled:
    """Move fields onto another grid.

    xESMF computes the weights, with ESMPy where that is installed and with the same mathematics in
    NumPy elsewhere: once for every pair of grids, then they are kept in the cache folder
    (``XRESDIFF_CACHE``).

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray, (..., y, x)
        Fields on any grid with latitude and longitude, or with a CF grid mapping that tells them.
        Variables that have neither y nor x are kept as they are.
    grid : xarray.Dataset or xarray.DataArray
        Anything on the grid that is wanted, such as one from :func:`xresdiff.target_grid`.
    method : str, default "bilinear"
        "bilinear" (for states such as temperature), "conservative" (for fluxes and precipitation:
        keeps their integral, so a target that is half outside of the input gets half of the
        value), "conservative_normed" (the mean of what is covered), "nearest_s2d",
        "nearest_d2s", "patch" (needs ESMPy), all of xESMF; or "latlon_bilinear": bilinear in
        latitude and longitude instead of along great circles, as the inputs of published CorrDiff
        models were made.
    skipna : bool, default False
        Regrid around missing values, instead of losing all that they weigh on.
    na_thres : float, default 1
        With `skipna`, the share of missing weight up to which a value is given; by default any
        value that is not missing is enough.

    Returns
    -------
    xarray.Dataset or xarray.DataArray, (..., y, x)
        Fields on the target grid, with its coordinates and grid mapping and their own attributes;
        NaN outside of the input; lazy if `obj` is.

    Raises
    ------
    InputError
        If the grids are not found or are none, or the method is unknown or does not suit them.
    MissingDependencyError
        If xESMF is not installed.

    Examples
    --------
    >>> lat, lon = np.arange(50.0, 54.0), np.arange(4.0, 10.0)
    >>> warm = xr.DataArray(np.add.outer(lat, lon), {"lat": lat, "lon": lon}, name="t")
    >>> fine = xr.Dataset(coords={"lat": [51.5, 52.0], "lon": [6.5, 7.0]})
    >>> regrid(warm, fine, method="latlon_bilinear").values
    array([[58. , 58.5],
           [58.5, 59. ]])
    """
    return onto(obj, grid, method, skipna=skipna, na_thres=na_thres)


def onto(
    obj: Labelled,
    grid: xr.Dataset | xr.DataArray,
    method: str,
    *,
    skipna: bool = False,
    na_thres: float = 1.0,
    reach: float = 0.0,
) -> Labelled:
    """Regrid; targets that lie up to `reach` cells outside take the nearest values inside."""
    if isinstance(obj, xr.DataArray):
        name = _UNNAMED if obj.name is None or obj.name in obj.coords else obj.name
        ds = obj.to_dataset(name=name)
        done = onto(ds, grid, method, skipna=skipna, na_thres=na_thres, reach=reach)
        return done[name].rename(obj.name)
    problems = _problems(method, na_thres)
    here = _found(obj, "the input", problems)
    there = _found(grid, "the grid wanted", problems)
    raise_problems(problems, what="regrid")
    assert here is not None  # its absence is a problem
    assert there is not None
    target = _described(grid, there, method)
    obj = _cut(obj, here, target, method)
    here = find_horizontal(obj)
    key = make_weights(_described(obj, here, method), target, method, reach=reach)
    shape = grid.sizes[there.dims[0]], grid.sizes[there.dims[1]]
    how = {"key": key, "skipna": skipna, "na_thres": na_thres}
    return labelled(_mapped(obj, here, shape, how), obj, here, grid, there)


def cropped(
    ds: xr.Dataset,
    here: Horizontal,
    grid: xr.Dataset | xr.DataArray,
    there: Horizontal,
    method: str,
) -> xr.Dataset:
    """Cut a source to what a target needs, its bounds in memory."""
    return _cut(ds, here, _described(grid, there, method), method)


def _cut(ds: xr.Dataset, here: Horizontal, target: weights.Grid, method: str) -> xr.Dataset:
    ds = read_bounds(ds, here)
    if method in NEAREST:
        return ds
    return crop(ds, here, _mesh(*_numbers(ds, here)), _outline(target))


def _found(obj: xr.Dataset | xr.DataArray, what: str, problems: list[str]) -> Horizontal | None:
    """Find the grid of an object; add to the problems what is wrong with it."""
    if not isinstance(obj, xr.Dataset | xr.DataArray):
        problems.append(
            f"{what} is {obj!r}; it is a Dataset on a grid, such as "
            "xresdiff.target_grid(crs='EPSG:27700', center=(54, -2), spacing_km=4, shape=(90, 80))"
        )
        return None
    try:
        grid = find_horizontal(obj)
        problems += [f"{what}: {problem}" for problem in check_order(grid)]
    except InputError as error:
        problems.append(f"{what}: {error}")
        return None
    return grid


def _problems(method: str, na_thres: float) -> list[str]:
    problems = []
    if method not in get_args(Method):
        known = ", ".join(map(repr, get_args(Method)))
        problems.append(f"method is {method!r}; it is one of {known}")
    return problems + share_problems(na_thres)


def share_problems(na_thres: object) -> list[str]:
    """Say why what was given is no share."""
    if isinstance(na_thres, int | float) and 0 <= na_thres <= 1:
        return []
    return [f"na_thres is {na_thres!r}; it is a share between 0 and 1"]


def _described(obj: xr.Dataset | xr.DataArray, grid: Horizontal, method: str) -> weights.Grid:
    """Return the numbers of a grid that a method needs."""
    numbers = dict(zip(("lat", "lon"), _numbers(obj, grid), strict=True))
    if method.startswith("conservative"):
        numbers["lat_b"], numbers["lon_b"] = corners(obj, grid)
    return numbers


def _numbers(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude, (y,) and (x,), or both (y, x)."""
    lat, lon = geographic(obj, grid)
    if grid.kind == "latlon":
        return np.asarray(lat, dtype="f8"), grid.x_values
    lats, lons = (np.asarray(part.transpose(*grid.dims), dtype="f8") for part in (lat, lon))
    return lats, lons


def _mesh(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude of every point, (y, x)."""
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    return lat, lon


def _outline(target: weights.Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude of corners if there are any, else of centres."""
    lat, lon = (target.get(f"{name}_b", target[name]) for name in ("lat", "lon"))
    return _mesh(lat, lon)


def _mapped(
    ds: xr.Dataset, here: Horizontal, shape: tuple[int, int], how: dict[str, Any]
) -> dict[Hashable, xr.DataArray]:
    """Apply weights to every variable on the grid, lazily; leave those beside it as they are."""
    _check_variables(ds, here)
    bounds = bounds_names(ds)
    done: dict[Hashable, xr.DataArray] = {}
    for name, variable in ds.data_vars.items():
        if not set(here.dims) & set(variable.dims):
            done[name] = variable
        if not _on(variable, here) or name in bounds:
            continue
        real = variable if variable.dtype.kind == "f" else variable.astype(np.float64)
        whole = real if real.chunks is None else real.chunk(dict.fromkeys(here.dims, -1))
        done[name] = xr.apply_ufunc(
            weights.apply,
            whole,
            input_core_dims=[list(here.dims)],
            output_core_dims=[[TARGET_Y, TARGET_X]],
            kwargs=how | {"shape": shape},
            dask="parallelized",
            output_dtypes=[np.result_type(real.dtype, np.float32)],
            dask_gufunc_kwargs={
                "output_sizes": dict(zip((TARGET_Y, TARGET_X), shape, strict=True))
            },
        ).assign_attrs(variable.attrs)
    return done


def _check_variables(ds: xr.Dataset, here: Horizontal) -> None:
    """Refuse fields of no numbers, and a Dataset without fields; warn of what is left out."""
    bounds = bounds_names(ds)
    there = {name: v for name, v in ds.data_vars.items() if name not in bounds}
    fields = [name for name, v in there.items() if _on(v, here)]
    packed = [told for name in fields if (told := packed_problem(ds[name]))]
    raise_problems(packed, what="regrid")
    strange = [name for name in fields if ds[name].dtype.kind not in "biuf"]
    if strange:
        raise InputError(
            f"cannot regrid {', '.join(map(repr, strange))}, which hold no numbers; leave them "
            f"out: ds.drop_vars({strange!r})"
        )
    if not fields:
        raise InputError(
            f"cannot regrid: no variable runs along {here.dims}; the Dataset has "
            f"{', '.join(map(repr, there)) or 'none'}"
        )
    halves = [n for n, v in there.items() if set(v.dims) & set(here.dims) and n not in fields]
    if halves:
        warn(
            f"{', '.join(map(repr, halves))} run along one of {here.dims} alone and are left out "
            f"of the result; regrid what they were made of, or leave them out: "
            f"ds.drop_vars({halves!r})"
        )


def _on(variable: xr.DataArray, grid: Horizontal) -> bool:
    return set(grid.dims) <= set(variable.dims)

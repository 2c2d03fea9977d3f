"""Move fields onto any grid: weights by xESMF, made once, applied lazily."""

from collections.abc import Hashable
from typing import Any, TypeVar, get_args

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, raise_problems
from xresdiff.grids.cells import corners
from xresdiff.grids.cells.bounds import read_bounds
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.coords import Horizontal, find_horizontal
from xresdiff.grids.regrid import weights
from xresdiff.grids.regrid.crop import crop, goes_round
from xresdiff.grids.regrid.make_weights import Method, make_weights

__all__ = ["Method", "onto", "regrid"]

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)

NEAREST = ("nearest_s2d", "nearest_d2s")
_Y, _X = "_target_y", "_target_x"  # dimensions that no user has


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
        keeps their integral), "conservative_normed", "nearest_s2d", "nearest_d2s", "patch" (needs
        ESMPy), all of xESMF; or "latlon_bilinear": bilinear in latitude and longitude instead of
        along great circles, as the inputs of published CorrDiff models were made.
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
        If there are no horizontal coordinates, or the method is unknown or does not suit the grids.

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
    problems = _problems(method, na_thres)
    raise_problems(problems, what="regrid")
    if isinstance(obj, xr.DataArray):
        ds = obj.to_dataset(name="_regridded")
        done = onto(ds, grid, method, skipna=skipna, na_thres=na_thres, reach=reach)
        return done["_regridded"].rename(obj.name)
    there, here = find_horizontal(grid), find_horizontal(obj)
    obj = read_bounds(obj, here)
    source, target = _described(obj, here, method), _described(grid, there, method)
    if method not in NEAREST:
        obj = crop(obj, here, _mesh(source["lat"], source["lon"]), _outline(target))
        here = find_horizontal(obj)
        source = _described(obj, here, method)
    key = make_weights(source, target, method, periodic=goes_round(here), reach=reach)
    shape = grid.sizes[there.dims[0]], grid.sizes[there.dims[1]]
    how = {"key": key, "skipna": skipna, "na_thres": na_thres}
    return _labelled(_mapped(obj, here, shape, how), obj, here, grid, there)


def _problems(method: str, na_thres: float) -> list[str]:
    problems = []
    if method not in get_args(Method):
        known = ", ".join(map(repr, get_args(Method)))
        problems.append(f"method is {method!r}; it is one of {known}")
    if not 0 <= na_thres <= 1:
        problems.append(f"na_thres is {na_thres!r}; it is a share between 0 and 1")
    return problems


def _described(obj: xr.Dataset | xr.DataArray, grid: Horizontal, method: str) -> weights.Grid:
    """Return the numbers of a grid that a method needs."""
    lat, lon = geographic(obj, grid)
    if grid.kind == "latlon":
        numbers = {"lat": np.asarray(lat, dtype="f8"), "lon": grid.x_values}
    else:
        pair = {"lat": lat.transpose(*grid.dims), "lon": lon.transpose(*grid.dims)}
        numbers = {name: np.asarray(values, dtype="f8") for name, values in pair.items()}
    if method.startswith("conservative"):
        numbers["lat_b"], numbers["lon_b"] = corners(obj, grid)
    return numbers


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
    strange = [n for n, v in ds.data_vars.items() if _on(v, here) and v.dtype.kind not in "biuf"]
    if strange:
        raise InputError(
            f"cannot regrid {', '.join(map(repr, strange))}, which hold no numbers; leave them "
            f"out: ds.drop_vars({strange!r})"
        )
    bounds = {v.attrs.get("bounds") for v in ds.variables.values()}
    done: dict[Hashable, xr.DataArray] = {}
    for name, variable in ds.data_vars.items():
        if not set(here.dims) & set(variable.dims):
            done[name] = variable
        if not _on(variable, here) or name in bounds:
            continue
        whole = (
            variable if variable.chunks is None else variable.chunk(dict.fromkeys(here.dims, -1))
        )
        done[name] = xr.apply_ufunc(
            weights.apply,
            whole if whole.dtype.kind == "f" else whole.astype(np.float64),
            input_core_dims=[list(here.dims)],
            output_core_dims=[[_Y, _X]],
            kwargs=how | {"shape": shape},
            dask="parallelized",
            output_dtypes=[variable.dtype if variable.dtype.kind == "f" else np.float64],
            dask_gufunc_kwargs={"output_sizes": dict(zip((_Y, _X), shape, strict=True))},
        ).assign_attrs(variable.attrs)
    return done


def _on(variable: xr.DataArray, grid: Horizontal) -> bool:
    return set(grid.dims) <= set(variable.dims)


def _labelled(
    done: dict[Hashable, xr.DataArray],
    ds: xr.Dataset,
    here: Horizontal,
    grid: xr.Dataset | xr.DataArray,
    there: Horizontal,
) -> xr.Dataset:
    """Give the fields the coordinates of the target in place of those of the source."""
    beside = {n: c for n, c in ds.coords.items() if not set(here.dims) & set(c.dims)}
    beside.pop(here.grid_mapping, None)
    done.pop(here.grid_mapping, None)
    mapping = there.grid_mapping
    for variable in done.values():
        if _Y in variable.dims:
            attrs = {k: v for k, v in variable.attrs.items() if k != "grid_mapping"}
            told = {} if mapping is None else {"grid_mapping": str(mapping)}
            variable.attrs = attrs | told  # of this function's own making
    fields = {name: field.drop_vars(list(field.coords)) for name, field in done.items()}
    result = xr.Dataset(fields, attrs=ds.attrs).rename({_Y: there.dims[0], _X: there.dims[1]})
    on_target = {n: c for n, c in grid.coords.items() if set(c.dims) <= set(there.dims) and c.dims}
    if mapping is not None:
        on_target[mapping] = grid[mapping].reset_coords(drop=True)
    return result.assign_coords(beside).assign_coords(on_target)

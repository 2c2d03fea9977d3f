"""What ``ds.resdiff`` shows of itself: the grid that was found, and which models fit."""

from collections.abc import Hashable, Iterable

import xarray as xr

from xresdiff.engine.request import check_request
from xresdiff.errors import InputError, XresdiffError
from xresdiff.grids import coords
from xresdiff.models import zoo
from xresdiff.models.package import open_model

__all__ = ["overview"]


def overview(obj: xr.Dataset | xr.DataArray) -> str:
    """Describe an object as this package sees it; nothing of it is computed.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Any object.

    Returns
    -------
    str
        A few lines: the horizontal grid, the other dimensions, and every model at hand with the
        variables that it would take or what it lacks.

    Examples
    --------
    >>> from xresdiff.tutorial import rain_pair
    >>> coarse, _ = rain_pair(shape=(64, 64))
    >>> print(overview(coarse))
    resdiff
      grid      y (4), x (4), projected, 16 x 16 km
      over      time (1)
      rain-16x  fits 'precip_rate': ds.resdiff.downscale(model='rain-16x')
    """
    ds = obj if isinstance(obj, xr.Dataset) else obj.to_dataset(name=_name(obj))
    call = "ds" if ds is obj else "da.to_dataset()"
    rows = {"grid": _grid(ds), "over": _over(ds)}
    rows |= {name: _fit(ds, name, call) for name in zoo.names() if zoo.at_hand(name)}
    width = max(map(len, rows))
    lines = (f"  {name:{width}}  {text}" for name, text in rows.items() if text)
    return "\n".join(["resdiff", *(line.replace("\n", f"\n{'':{width + 2}}") for line in lines)])


def _name(da: xr.DataArray) -> Hashable:
    return "unnamed" if da.name is None or da.name in da.coords else da.name


def _grid(ds: xr.Dataset) -> str:
    try:
        grid = coords.find_horizontal(ds)
        uneven = coords.check_uniform(grid)
        steps = () if uneven else coords.spacing_km(grid)
    except XresdiffError as error:
        return str(error)
    spacing = " x ".join(f"{step:.3g}" for step in steps) + " km" if steps else "no even spacing"
    return f"{_sizes(ds, grid.dims)}, {grid.kind}, {spacing}"


def _over(ds: xr.Dataset) -> str:
    try:
        return _sizes(ds, coords.other_dims(ds, coords.find_horizontal(ds)))
    except XresdiffError:
        return ""


def _sizes(ds: xr.Dataset, dims: Iterable[Hashable]) -> str:
    return ", ".join(f"{dim} ({ds.sizes[dim]})" for dim in dims)


def _fit(ds: xr.Dataset, name: str, call: str) -> str:
    try:
        request = check_request(ds, open_model(name))
    except InputError as error:
        return "does not fit" + str(error).removeprefix(f"cannot downscale with {name}")
    except XresdiffError as error:
        return str(error)
    found = ", ".join(map(repr, request.variables))
    return f"fits {found}: {call}.resdiff.downscale(model={name!r})"

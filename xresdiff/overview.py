"""What ``ds.resdiff`` shows of itself: the coordinates that were found, and which models fit."""

from collections.abc import Hashable, Iterable
from html import escape

import numpy as np
import xarray as xr

from xresdiff.engine.request import check_request
from xresdiff.errors import InputError, XresdiffError
from xresdiff.grids import coords
from xresdiff.grids.coords.criteria import RoleName
from xresdiff.models import zoo
from xresdiff.models.opening import glance

__all__ = ["overview", "overview_html"]

# What a coordinate is to the fields, and the row that tells.
ROLES: dict[RoleName, str] = {
    "time": "time",
    "reference_time": "start",
    "lead_time": "lead time",
    "realization": "members",
    "pressure": "levels",
}


def overview(obj: xr.Dataset | xr.DataArray) -> str:
    """Describe an object as this package sees it; nothing of it is computed.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Any object.

    Returns
    -------
    str
        A few lines: the horizontal grid, the other dimensions and coordinates, and every model at
        hand with the variables that it would take or what it lacks.

    Examples
    --------
    >>> from xresdiff.tutorial import rain_pair
    >>> coarse, _ = rain_pair(shape=(64, 64))
    >>> print(overview(coarse))
    resdiff
      grid      y (4), x (4), projected, 16 x 16 km
      over      time (1)
      time      'time'
      rain-16x  fits 'precip_rate': ds.resdiff.downscale(model='rain-16x')
    """
    rows = _rows(obj)
    width = max(map(len, rows))
    lines = (f"  {name:{width}}  {text}" for name, text in rows.items())
    return "\n".join(["resdiff", *(line.replace("\n", f"\n{'':{width + 2}}") for line in lines)])


def overview_html(obj: xr.Dataset | xr.DataArray) -> str:
    """Describe an object as :func:`overview` does, as HTML.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Any object.

    Returns
    -------
    str
        A table; everything in it is escaped.
    """
    rows = "".join(
        f"<tr><th style='text-align:right;vertical-align:top'>{escape(name)}</th>"
        f"<td style='text-align:left;white-space:pre-wrap'>{escape(text)}</td></tr>"
        for name, text in _rows(obj).items()
    )
    return f"<div><strong>resdiff</strong><table>{rows}</table></div>"


def _rows(obj: xr.Dataset | xr.DataArray) -> dict[str, str]:
    """Return what there is to tell, by name; nothing of it is empty."""
    ds = obj if isinstance(obj, xr.Dataset) else obj.to_dataset(name=_name(obj))
    call = "ds" if ds is obj else "da.to_dataset()"
    rows = {"grid": _grid(ds), "over": _over(ds)}
    rows |= {row: _coordinate(ds, role) for role, row in ROLES.items()}
    rows |= _fits(ds, call)
    return {name: text for name, text in rows.items() if text}


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


def _coordinate(ds: xr.Dataset, role: RoleName) -> str:
    """Name the coordinate of a role; of levels, list them too."""
    try:
        name = coords.find_coordinate(ds, role)
    except XresdiffError as error:
        return str(error)
    if name is None:
        return ""
    if role != "pressure" or ds[name].chunks is not None or ds[name].size > 40:
        return repr(name)
    values = ", ".join(f"{value:g}" for value in np.atleast_1d(ds[name].values))
    return f"{name!r}: {values} {ds[name].attrs.get('units', '')}".rstrip()


def _sizes(ds: xr.Dataset, dims: Iterable[Hashable]) -> str:
    return ", ".join(f"{dim} ({ds.sizes[dim]})" for dim in dims)


def _fits(ds: xr.Dataset, call: str) -> dict[str, str]:
    """Tell of every model at hand whether it fits, or what keeps the models from being listed."""
    try:
        names = [name for name in zoo.names() if zoo.at_hand(name)]
    except XresdiffError as error:
        return {"models": str(error)}
    return {name: _fit(ds, name, call) for name in names}


def _fit(ds: xr.Dataset, name: str, call: str) -> str:
    """Tell whether a model fits; it is not worth reading its weights for."""
    try:
        model = glance(name)
        if model is None:
            return f"not opened yet: xresdiff.open_model({name!r})"
        request = check_request(ds, model)
    except InputError as error:
        return "does not fit" + str(error).removeprefix(f"cannot downscale with {name}")
    except XresdiffError as error:
        return str(error)
    found = ", ".join(map(repr, request.variables))
    return f"fits {found}: {call}.resdiff.downscale(model={name!r})"

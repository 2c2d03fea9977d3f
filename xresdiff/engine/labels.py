"""Coordinates, attributes and provenance of a result."""

from collections.abc import Hashable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.engine.blocks import FINE_CHANNEL, fine_dim
from xresdiff.engine.noise import label_of
from xresdiff.engine.request import REALIZATION_NAMES, Request
from xresdiff.models.card import Channel

__all__ = ["labelled", "noise_labels"]

_ANALYSIS_TIMES = ("time", "init", "init_time", "forecast_reference_time")
_STEPS = ("step", "lead", "lead_time")  # names of durations, also where they are plain numbers

_MEMBER = {"standard_name": "realization", "long_name": "generated member", "units": "1"}
_SAMPLE = {"long_name": "generated sample of each realization", "units": "1"}


def noise_labels(ds: xr.Dataset, loop: tuple[Hashable, ...]) -> list[xr.DataArray]:
    """Return what tells the fields of a Dataset apart: texts along each dimension, and single ones.

    The values of a dimension's coordinate, or the places along it if it has none. Then the times
    and realizations that stand alone: ``ds.isel(time=0)`` is the time that it was.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"time": [np.datetime64("2024-07-01")], "number": 3})
    >>> [label.values.tolist() for label in noise_labels(ds, ("time",))]
    [['time=2024-07-01T00:00:00'], 'number=3']
    """
    along = [xr.DataArray(_labels_along(ds, dim), dims=[dim]) for dim in loop]
    alone = {
        name: coord.values[()]
        for name, coord in ds.coords.items()
        if not coord.ndim and coord.chunks is None and _tells_apart(name, coord)
    }
    if not {*alone, *loop}.isdisjoint(_ANALYSIS_TIMES):  # from which it follows, with the step
        alone.pop("valid_time", None)
    return along + [xr.DataArray(f"{name}={label_of(value)}") for name, value in alone.items()]


def _labels_along(ds: xr.Dataset, dim: Hashable) -> np.ndarray:
    if dim not in ds.indexes:
        return np.array([f"{dim}={i}" for i in range(ds.sizes[dim])])
    return np.array([f"{dim}={label_of(value)}" for value in ds.indexes[dim]])


def _tells_apart(name: Hashable, coord: xr.DataArray) -> bool:
    time_like = coord.dtype.kind in "mM" or hasattr(coord.values[()], "calendar")
    return time_like or name in (*_STEPS, *REALIZATION_NAMES)


def labelled(
    result: xr.DataArray, ds: xr.Dataset, fine: xr.Dataset, request: Request, stage: str
) -> xr.Dataset:
    """Give a result its coordinates, those of y and x from `fine`, attributes and provenance."""
    ny, nx = request.horizontal.dims
    result = result.drop_vars(list(result.coords)).rename({fine_dim(ny): ny, fine_dim(nx): nx})
    outputs = {
        channel.name: result.isel({FINE_CHANNEL: i}).assign_attrs(_channel_attrs(channel, request))
        for i, channel in enumerate(request.card.outputs)
    }
    kept = _kept(ds, fine, request)
    ensemble = xr.Dataset(outputs).assign_coords(kept).assign_coords(fine.coords)
    if stage == "both":
        attrs = _MEMBER if request.member == "member" else _SAMPLE
        numbers = (request.member, np.arange(request.members), attrs)
        ensemble = ensemble.assign_coords({request.member: numbers})
    return ensemble.assign_attrs(_provenance(ds, request, stage))


def _kept(ds: xr.Dataset, fine: xr.Dataset, request: Request) -> xr.Coordinates:
    """Return the coordinates that do not run along y and x, with their bounds."""
    names = {
        name
        for name, coord in ds.coords.items()
        if set(coord.dims) <= set(request.loop) and name not in fine.variables
    }
    bounds = {ds[name].attrs.get("bounds") for name in names}
    names |= {
        name
        for name in bounds
        if name in ds.variables and set(request.horizontal.dims).isdisjoint(ds[name].dims)
    }
    kept = ds.drop_vars(set(ds.variables) - names).copy()
    return kept.set_coords(list(kept.data_vars)).coords


def _channel_attrs(channel: Channel, request: Request) -> dict[str, str]:
    mapping = request.horizontal.grid_mapping
    attrs = {
        "standard_name": channel.standard_name,
        "long_name": channel.long_name,
        "units": channel.units,
        "cell_methods": channel.cell_methods,
        "grid_mapping": "" if mapping is None else str(mapping),
    }
    return {name: value for name, value in attrs.items() if value}


def _provenance(ds: xr.Dataset, request: Request, stage: str) -> dict[str, Any]:
    """Return the attributes that tell how a result was made; they survive netCDF and zarr."""
    model, settings = request.model, request.settings
    release = version("xresdiff")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} xresdiff {release}: downscale(model={model.name!r}, stage={stage!r})"
    made = {
        "Conventions": "CF-1.11",
        "source": f"xresdiff {release} {model.name}@sha256:{model.sha256}",
        "history": "\n".join(part for part in (line, ds.attrs.get("history", "")) if part),
        "xresdiff_version": release,
        "xresdiff_model": model.name,
        "xresdiff_sha256": model.sha256,
        "xresdiff_stage": stage,
    }
    if stage == "both":
        drawn = {"seed": settings.seed, **asdict(settings.sampler)}
        drawn["sampler"] = drawn.pop("name")
        made |= {f"xresdiff_{name}": value for name, value in drawn.items()}
    return made

"""Coordinates, attributes and provenance of a result."""

from collections.abc import Hashable
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from dask.base import tokenize

from xresdiff.engine.blocks import fine_dim, picked
from xresdiff.engine.noise import label_of
from xresdiff.engine.request import Request
from xresdiff.engine.tiling import INDEPENDENT, padded_shape, tiling
from xresdiff.grids.coords.criteria import RoleName, bounds_name, role_candidates
from xresdiff.grids.units.steps import hours_of_unit
from xresdiff.models.card import Channel, SamplerCard

__all__ = ["labelled", "noise_labels"]

_MEMBER = {"standard_name": "realization", "long_name": "generated member", "units": "1"}
_PRESSURE = {
    "standard_name": "air_pressure",
    "long_name": "pressure",
    "units": "hPa",
    "positive": "down",
    "axis": "Z",
}
_TOLD: tuple[RoleName, ...] = ("time", "reference_time", "lead_time", "realization")

_FIXED = frozenset({"height", "depth", "altitude", "surface", "heightAboveGround", "expver", "crs"})
_FIXED_ATTRS = frozenset({"grid_mapping_name", "crs_wkt", "spatial_ref", "positive"})

_SAMPLE = {"long_name": "generated sample of each realization", "units": "1"}


def noise_labels(ds: xr.Dataset, loop: tuple[Hashable, ...]) -> list[xr.DataArray]:
    """Return what tells the fields of a Dataset apart: texts along some of the dimensions `loop`.

    One array for each coordinate of these dimensions, and for each scalar one, that is no height,
    map or version, lazy if that is; for a dimension without a coordinate, its places. It does not
    matter whether a coordinate runs along a dimension or stands alone, so ``ds.isel(time=0)`` is
    the time that it was.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"time": [np.datetime64("2024-07-01")], "number": 3})
    >>> [label.values.tolist() for label in noise_labels(ds, ("time",))]
    [['time=2024-07-01T00:00:00'], 'number=3']
    """
    places = [
        xr.DataArray([f"{dim}={i}" for i in range(ds.sizes[dim])], dims=[dim])
        for dim in loop
        if dim not in ds.coords
    ]
    told = {name for role in _TOLD for name in role_candidates(ds, role)}
    return places + [
        xr.DataArray(
            xr.apply_ufunc(
                _texts,
                _times_of_steps(coord).variable.to_base_variable(),
                kwargs={"name": name},
                dask="parallelized",
                output_dtypes=[np.str_],
            )
        )
        for name, coord in ds.coords.items()
        if set(coord.dims) <= set(loop) and (name in told or _tells_apart(ds, name))
    ]


def _times_of_steps(coord: xr.DataArray) -> xr.DataArray:
    """Return lead times that are numbers, in hours say, as the durations that they are."""
    hours = hours_of_unit(coord)
    if hours is None or coord.dtype.kind not in "iuf":
        return coord
    nanoseconds = coord.astype(np.float64) * round(hours * 3600 * 10**9)
    return nanoseconds.round().astype("timedelta64[ns]")


def _texts(values: np.ndarray, *, name: Hashable) -> np.ndarray:
    values = np.char.decode(values) if values.dtype.kind == "S" else values
    texts = [f"{name}={label_of(value)}" for value in values.ravel()]
    return np.array(texts, dtype=str).reshape(values.shape)


def _tells_apart(ds: xr.Dataset, name: Hashable) -> bool:
    coord = ds.coords[name]
    if name in ds.dims and name in ds.xindexes:
        return len(ds.xindexes.get_all_coords(name)) == 1  # or its levels tell
    if name in {*ds.dims, *ds.xindexes}:
        return True
    if _is_fixed(ds, name):
        return False
    if coord.dtype.kind != "O":
        return coord.dtype.kind in "iufUSbmM"
    first: Any = coord.isel(dict.fromkeys(coord.dims, 0)).values[()]
    return isinstance(first, str) or hasattr(first, "calendar")  # of cftime


def _is_fixed(ds: xr.Dataset, name: Hashable) -> bool:
    """Tell whether a coordinate says at which height, on which map, of which version fields are."""
    attrs = ds[name].attrs
    return bool(
        name in _FIXED
        or _FIXED_ATTRS & set(attrs)
        or attrs.get("axis") == "Z"
        or attrs.get("standard_name") in _FIXED
        or "key: level" in str(attrs.get("long_name", ""))  # of GRIB
        or name in role_candidates(ds, "pressure")
    )


def labelled(
    result: xr.DataArray, ds: xr.Dataset, timed: xr.Dataset, request: Request, stage: str
) -> xr.Dataset:
    """Give a result the coordinates of the fine grid and of the input, attributes, provenance.

    Coordinates are those of the input at the times of the result, `timed`.
    """
    (ny, nx), fine = request.horizontal.dims, request.placement.fine
    rows, columns = request.placement.fine_dims
    names = {fine_dim(ny): rows, fine_dim(nx): columns}
    result = result.drop_vars(list(result.coords)).rename(names)
    ensemble = xr.Dataset(_outputs(result, request))
    ensemble = ensemble.assign_coords(_kept(timed, fine, request)).assign_coords(fine.coords)
    if stage == "both":
        attrs = _MEMBER if request.member == "member" else _SAMPLE
        numbers = (request.member, np.arange(request.arguments.members), attrs)
        ensemble = ensemble.assign_coords({request.member: numbers})
    return ensemble.assign_attrs(_provenance(ds, request, stage))


def _outputs(result: xr.DataArray, request: Request) -> dict[str, xr.DataArray]:
    """Return the variables of a result: those of one quantity on several levels as one.

    They share the dimension ``pressure``. Where quantities have different levels, only those on
    the levels of the first can; the others come one by one, as ``z500``.
    """
    channels = request.card.outputs
    fine = {str(dim): request.placement.fine.sizes[dim] for dim in request.placement.fine_dims}
    quantities: dict[str, list[int]] = {}
    for i, channel in enumerate(channels):
        quantities.setdefault(channel.name, []).append(i)
    shared: tuple[float | None, ...] = ()
    outputs: dict[str, xr.DataArray] = {}
    for name, places in quantities.items():
        levels = tuple(channels[i].level_Pa for i in places)
        shared = shared or (levels if None not in levels else ())
        attrs = _channel_attrs(channels[places[0]], request)
        if None not in levels and levels == shared:
            pressure = xr.Variable(
                "pressure", [level / 100 for level in levels if level], _PRESSURE
            )
            joined = picked(result, places, {"pressure": len(places), **fine})
            outputs[name] = joined.assign_coords(pressure=pressure).assign_attrs(attrs)
            continue
        for i in places:
            level = channels[i].level_Pa
            single = name if level is None else f"{name}{level / 100:g}"
            outputs[single] = picked(result, i, fine).assign_attrs(attrs)
    return outputs


def _kept(ds: xr.Dataset, fine: xr.Dataset, request: Request) -> xr.Coordinates:
    """Return the coordinates that do not run along y and x, with their bounds."""
    names = {
        name
        for name, coord in ds.coords.items()
        if set(coord.dims) <= set(request.loop) and name not in fine.variables
    }
    names.discard(request.given.grid_mapping)  # of the input's grid, which the result has left
    bounds = {bounds_name(ds[name]) for name in names}
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
        "xresdiff_input": _digest(ds, request),
        "xresdiff_stage": stage,
        "xresdiff_precision": settings.precision,
        **_cut(request),
    }
    if stage == "both":
        drawn = {"seed": settings.seed, **_drawn(settings.sampler)}
        made |= {f"xresdiff_{name}": value for name, value in drawn.items()}
    return made


def _cut(request: Request) -> dict[str, Any]:
    """Return how large fields are cut into windows, as attributes of a file; nothing of others."""
    settings = request.settings
    tiles = tiling(request.card, settings.tile, settings.overlap)
    shape = padded_shape(request.card, request.placement.padded_shape)
    if tiles is None or not tiles.cuts(shape):
        return {}
    made = {"xresdiff_tile": tiles.size, "xresdiff_overlap": tiles.overlap}
    return made | ({"xresdiff_tiling": INDEPENDENT} if tiles.independent else {})


def _drawn(sampler: SamplerCard) -> dict[str, Any]:
    """Return the settings of a sampler that matter, as attributes of a file."""
    told = {"sampler": sampler.name, **asdict(sampler)}
    churn = ("churn_min", "churn_max", "churn_noise", "churn_capped") if not sampler.churn else ()
    kept = {key: value for key, value in told.items() if key not in ("name", *churn)}
    return {
        key: int(value) if isinstance(value, bool) else value
        for key, value in kept.items()
        if value is not None
    }


def _digest(ds: xr.Dataset, request: Request) -> str:
    """Hash what is downscaled: values and coordinates, of lazy ones the names of their graphs."""
    digest = sha256()
    arguments = request.arguments
    how: tuple[object, ...] = (arguments.accumulation, arguments.skipna)
    if request.placement.coarse is not None:
        how = (*how, request.methods, arguments.na_thres)
    digest.update(repr(how).encode())
    for used in (ds[list(request.variables)], request.placement.fine):
        for name in sorted(used.variables, key=str):
            variable = used.variables[name]
            about = (str(name), variable.dims, variable.shape, str(variable.attrs.get("units")))
            digest.update(repr(about).encode())
            digest.update(_content(variable))
    return digest.hexdigest()[:16]


def _content(variable: xr.Variable) -> bytes:
    if variable.chunks is not None:
        return tokenize(variable.data).encode()  # of its name, which follows from its source
    values = variable.values
    if values.dtype.hasobject:
        return repr([str(value) for value in values.ravel()]).encode()
    return np.ascontiguousarray(values).tobytes()

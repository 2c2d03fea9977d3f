"""Where an ensemble lies in a store that is there, and how the store grows to hold more of it."""

import json
import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.store.fingerprint import DATA, INPUT
from xresdiff.store.manifest import Manifest, Root
from xresdiff.store.places import ROOT, Place

__all__ = ["Extent", "grow", "locate", "open_there"]


@dataclass(frozen=True)
class Extent:
    """Where an ensemble lies along a dimension of a store.

    Parameters
    ----------
    offset : int
        Where it begins.
    here, there, size : int
        Lengths of the ensemble, of the store, and of the store once it holds the ensemble.
    """

    offset: int
    here: int
    there: int
    size: int

    @property
    def grows(self) -> bool:
        """Whether the store must grow."""
        return self.size > self.there

    @property
    def exact(self) -> bool:
        """Whether the store holds the ensemble and nothing else."""
        return self.here == self.there == self.size


def open_there(root: Root, ens: xr.Dataset) -> xr.Dataset:
    """Open a store that is there, with times of the kind that an ensemble has."""
    cftime = any(isinstance(index, xr.CFTimeIndex) for index in ens.indexes.values())
    times = xr.coders.CFDatetimeCoder(use_cftime=True) if cftime else True
    place = root.place
    return xr.open_zarr(
        place.url, storage_options=place.options, chunks=None, decode_times=times, consolidated=True
    )


def locate(ens: xr.Dataset, there: xr.Dataset, manifest: Manifest) -> dict[str, Extent] | str:
    """Find an ensemble in a store by its labels; say in what they do not fit, if they do not.

    Parameters
    ----------
    ens : xarray.Dataset
        To be written.
    there : xarray.Dataset
        What the store holds.
    manifest : Manifest
        Of the store.
    """
    extents = {}
    for dim, size in manifest.extents.items():
        if dim not in ens.dims:
            return f"it has {dim}, of which this one has none"
        if dim in ens.indexes and dim in there.indexes:
            found = _along(dim, there.indexes[dim], ens.indexes[dim])
            if isinstance(found, str):
                return found
            extents[dim] = found
        else:
            here = ens.sizes[dim]
            extents[dim] = Extent(0, here, size, max(here, size))
    return _alike(ens, there, extents) or extents


def _along(dim: str, there: pd.Index, here: pd.Index) -> Extent | str:
    """Find labels among those of a store: all of it, more, what comes after, or a part."""
    there, here = _of_one_unit(there, here)
    n, m = len(there), len(here)
    if here.equals(there):
        return Extent(0, n, n, n)
    both = f"{dim} is {_range(there)} there, {_range(here)} here"
    if not here.is_unique:
        return f"{dim} has {here[here.duplicated()][0]} twice here"
    if n <= m and here[:n].equals(there):
        offset, new = 0, here[n:]
    elif n and m and not here.isin(there).any():
        offset, new = n, here
    elif m and here[0] in there and there[there.get_loc(here[0]) :][:m].equals(here):
        return Extent(int(there.get_loc(here[0])), m, n, n)
    else:
        known = here.isin(there)
        k = int(known.sum())
        line = ""
        if known[:k].all() and k < m:
            line = f"; to append what comes later, type: ens = ens.isel({dim}=slice({k}, None))"
        return f"{both}: neither all that is there and more, nor only what comes later{line}"
    whole = there.append(new)
    if there.is_monotonic_increasing and not (whole.is_monotonic_increasing and whole.is_unique):
        return f"{both}: what is new does not come after what is there, in order"
    if offset and not there.is_monotonic_increasing:
        return f"{both}: nothing can come later, as what is there is in no order"
    return Extent(offset, m, n, len(whole))


def _of_one_unit(*indexes: pd.Index) -> list[pd.Index]:
    """Give times the finer of their units, as pandas takes those of several for different."""
    if not all(isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex) for index in indexes):
        return list(indexes)
    finest = max((index.unit for index in indexes), key=("s", "ms", "us", "ns").index)
    return [index.as_unit(finest) for index in indexes]


def _range(labels: pd.Index) -> str:
    if not len(labels):
        return "empty"
    return f"{labels[0]}" if len(labels) == 1 else f"{labels[0]} to {labels[-1]} ({len(labels)})"


def _alike(ens: xr.Dataset, there: xr.Dataset, extents: Mapping[str, Extent]) -> str:
    """Compare what else runs along the dimensions, where both have it."""
    ours: dict[Hashable, slice] = {}
    theirs: dict[Hashable, slice] = {}
    for dim, extent in extents.items():
        shared = max(0, min(extent.there - extent.offset, extent.here))
        ours[dim] = slice(0, shared)
        theirs[dim] = slice(extent.offset, extent.offset + shared)
    for name, coord in ens.coords.items():
        if not set(coord.dims) & set(extents) or name not in there.variables:
            continue
        a = there[name].isel(theirs, missing_dims="ignore").variable.to_base_variable()
        b = coord.isel(ours, missing_dims="ignore").variable.to_base_variable()
        if not a.equals(b):
            return f"the values of {name} differ where both have the same labels"
    return ""


def grow(
    ens: xr.Dataset,
    there: xr.Dataset,
    root: Root,
    extents: Mapping[str, Extent],
    member: Hashable | None,
    ours: Mapping[str, str],
) -> None:
    """Make a finished store larger along one dimension; the new part is then missing.

    The input that it is to be made from becomes that of the store: what goes on is compared with
    it.

    Metadata of arrays come first, then coordinates, then the root, which readers go by: until it
    is replaced, they see the store as it was.
    """
    dim = next(dim for dim, extent in extents.items() if extent.grows)
    extent, place = extents[dim], root.place
    new = ens.coords.to_dataset().isel(
        {dim: slice(extent.there - extent.offset, None)}, missing_dims="ignore"
    )
    new = new.drop_vars([name for name in new.variables if dim not in new[name].dims])
    new = new.drop_attrs()
    for name, coord in new.variables.items():
        if coord.dtype.kind == "U":
            new[name] = coord.astype(there[name].dtype)
    new = new.drop_indexes(list(new.indexes))  # xarray writes none into regions
    _check_fits(new, there, place)
    for name, about in root.arrays.items():
        if dim in (about.get("dimension_names") or ()):
            about["shape"][about["dimension_names"].index(dim)] = extent.size
            place.replace(f"{name}/{ROOT}", json.dumps(about).encode(), folder=name)
    if new.variables:
        region: dict[str, Any] = {dim: slice(extent.there, extent.size)}
        new.to_zarr(place.url, region=region, storage_options=place.options, consolidated=False)
    input_ = INPUT.removeprefix("attribute ")
    if dim != member and input_ in ens.attrs:
        root.group["attributes"][input_] = ens.attrs[input_]
    root.save(_grown(root.manifest, dim, extent, ours))


def _grown(manifest: Manifest, dim: str, extent: Extent, ours: Mapping[str, str]) -> Manifest:
    """Return the manifest of a store that has grown; its last pieces may have become larger."""
    larger = replace(
        manifest,
        extents={**manifest.extents, dim: extent.size},
        before={dim: extent.there},
    )
    finished = np.zeros(larger.counts, bool)
    kept = extent.there // manifest.pieces[dim]
    axis = list(manifest.extents).index(dim)
    finished[(slice(None),) * axis + (slice(kept),)] = True
    known = {
        key: checksum
        for key, checksum in manifest.fingerprint.items()
        if not key.startswith(DATA) and key != INPUT
    }
    if INPUT in ours:
        known[INPUT] = ours[INPUT]
    return replace(larger, finished=finished, fingerprint=known)


def _check_fits(new: xr.Dataset, there: xr.Dataset, place: Place) -> None:
    """Refuse labels that the types of a store cannot hold, before anything of it is touched."""
    for name, coord in new.variables.items():
        encoding = there.variables[name].encoding
        variable = xr.Variable(coord.dims, coord.values, encoding=encoding)
        if not _survives(variable):
            units = f" {encoding['units']}" if "units" in encoding else ""
            raise StoreError(
                f"{place} holds {name} as {encoding.get('dtype')}{units}, which cannot "
                f"hold all that is to be appended, {_range(pd.Index(coord.values.ravel()))}; "
                f"it is left as it is. Type another path, such as {place.another!r}"
            )


def _survives(variable: xr.Variable) -> bool:
    """Tell whether a variable is the same once it was written with its encoding and read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what does not fit is told below
        try:
            encoded = xr.conventions.encode_cf_variable(variable)
            if encoded.attrs.get("units") != variable.encoding.get("units"):
                return False
            dtype = np.dtype(variable.encoding.get("dtype", encoded.dtype))
            held = encoded.values if dtype.kind in "OTmM" else encoded.values.astype(dtype)
            cftime = variable.dtype.kind == "O" and "calendar" in encoded.attrs
            read = xr.conventions.decode_cf_variable(
                "labels",
                xr.Variable(variable.dims, held, encoded.attrs),
                decode_times=xr.coders.CFDatetimeCoder(use_cftime=True) if cftime else True,
                decode_timedelta=variable.dtype.kind == "m",
            )
            return bool(read.load().equals(variable))
        except (ValueError, TypeError, OverflowError):
            return False

"""Make a store, all but the chunks that are written piece by piece."""

import warnings
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.store.layout import cut_dims, streamed
from xresdiff.store.manifest import MANIFEST, Manifest
from xresdiff.store.places import Place

__all__ = ["create"]

Encoding = Mapping[Hashable, Mapping[str, Any]]

PACKING = ("dtype", "scale_factor", "add_offset", "_FillValue")  # taken over from variables
EPOCH = "seconds since 1970-01-01"  # holds whatever times are appended
LABELS_OF_A_CHUNK = 1024  # at least, so that a store that grows by the day stays one of few files


def create(ens: xr.Dataset, place: Place, manifest: Manifest, encoding: Encoding | None) -> None:
    """Make the store at a place; it appears whole or not at all.

    Raises
    ------
    StoreError
        If it cannot be written there, or an encoding is none of zarr 3.
    """
    encoding = _checked(ens, encoding or {}, manifest)
    files = _files(ens, manifest, encoding, place)
    try:
        place.publish(files)
    except OSError as error:
        raise StoreError(
            f"cannot make {place}: {error}; a place that can be written to, with room, is needed, "
            f"such as ens.resdiff.to_zarr('~/{place.name}')"
        ) from error


def _files(
    ens: xr.Dataset, manifest: Manifest, encoding: Encoding, place: Place
) -> dict[str, bytes]:
    """Return the files of the store: metadata, coordinates, and what has no members or times."""
    from zarr.storage import MemoryStore

    template = _template(ens, manifest)
    written = _encodings(template, manifest)
    for name, told in encoding.items():
        written[str(name)] = {**written.get(str(name), {}), **told}
    for name in streamed(ens):
        _mark_missing(written[name])
    made: dict[str, Any] = {}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata")  # zarr's, of all such stores
            warnings.filterwarnings("ignore", ".*does not have a Zarr V3 specification")
            template.to_zarr(
                MemoryStore(made),
                mode="w-",
                compute=False,
                zarr_format=3,
                consolidated=True,
                encoding=written,
            )
    except (ValueError, TypeError, NotImplementedError) as error:
        reason = f"{error} {error.__cause__ or ''}".strip()
        raise StoreError(f"cannot make {place}: zarr cannot hold this: {reason}") from error
    return {key: buffer.to_bytes() for key, buffer in made.items()}


def _template(ens: xr.Dataset, manifest: Manifest) -> xr.Dataset:
    """Return the ensemble with its streamed variables as arrays that are never computed."""
    import dask.array

    names = streamed(ens)
    fields = {}
    for key, variable in ens.variables.items():
        kept = {k: v for k, v in variable.encoding.items() if k in PACKING and key in ens.data_vars}
        data = variable.data
        if key in names:
            data = dask.array.zeros(variable.shape, dtype=variable.dtype, chunks=-1)
        elif variable.dtype.kind == "U":
            data = variable.values.astype(object)  # of any length, as later ones may be longer
        fields[key] = xr.Variable(variable.dims, data, variable.attrs, kept)
    made = xr.Dataset(
        {name: fields[name] for name in ens.data_vars},
        {name: fields[name] for name in ens.coords},
        ens.attrs,
    )
    return made.assign_attrs({MANIFEST: manifest.to_json()})


def _encodings(template: xr.Dataset, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return how variables are written, as long as nobody says otherwise."""
    fields, cut = streamed(template), cut_dims(template)
    told: dict[str, dict[str, Any]] = {}
    for key, variable in template.variables.items():
        name = str(key)
        told[name] = {}
        if name in fields:
            told[name]["chunks"] = tuple(manifest.chunks[str(dim)] for dim in variable.dims)
            if manifest.shards:
                told[name]["shards"] = tuple(manifest.shards[str(dim)] for dim in variable.dims)
        elif key in template.coords:
            told[name]["_FillValue"] = None
            if set(cut) & set(variable.dims):
                sizes = variable.sizes.items()
                told[name]["chunks"] = tuple(
                    max(size, LABELS_OF_A_CHUNK) if dim in cut else size for dim, size in sizes
                )
                if _whole_seconds(variable):
                    told[name] |= {"units": EPOCH, "dtype": "int64"}
    return told


def _whole_seconds(variable: xr.Variable) -> bool:
    values = np.asarray(variable.values).ravel()
    if values.dtype.kind == "M":
        return bool((values == values.astype("datetime64[s]")).all())
    return values.dtype == object and all(getattr(v, "microsecond", 1) == 0 for v in values)


def _mark_missing(told: dict[str, Any]) -> None:
    """Let what is not written yet read as missing where fields are packed into integers."""
    dtype = np.dtype(told["dtype"]) if "dtype" in told else np.dtype("f4")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        told.setdefault("_FillValue", limits.min if dtype.kind == "i" else limits.max)
        told.setdefault("fill_value", told["_FillValue"])


def _checked(ens: xr.Dataset, encoding: Encoding, manifest: Manifest) -> Encoding:
    for name, told in encoding.items():
        if not isinstance(told, Mapping):
            raise StoreError(
                f"encoding of {name} is {told!r}; a mapping is needed, such as "
                f"encoding={{{name!r}: {{'dtype': 'float32'}}}}"
            )
        if name not in ens.variables:
            raise StoreError(
                f"encoding names {name!r}, but the variables are "
                f"{', '.join(map(str, ens.variables))}"
            )
        for key, line in (
            ("chunks", f"ens = ens.chunk({dict(manifest.chunks)})"),
            ("shards", f"shards={ {dim: 24 * size for dim, size in manifest.pieces.items()} }"),
            ("compressor", f"encoding={{{name!r}: {{'compressors': [zarr.codecs.BloscCodec()]}}}}"),
        ):
            if key in told:
                raise StoreError(f"encoding of {name} has {key!r}; instead, type {line}")
        _check_codecs(name, told)
    return encoding


def _check_codecs(name: Hashable, told: Mapping[str, Any]) -> None:
    """Refuse codecs of zarr 2, of which zarr itself says nothing that helps."""
    for key in ("compressors", "filters", "serializer"):
        codecs = told.get(key) or ()
        for codec in codecs if isinstance(codecs, list | tuple) else (codecs,):
            module = type(codec).__module__
            if module.startswith("numcodecs") and "zarr3" not in module:
                instead = (
                    "BloscCodec(cname='zstd')" if key == "compressors" else f"numcodecs.{codec!r}"
                )
                raise StoreError(
                    f"{key} of {name} has {codec!r}, which is for zarr 2; type encoding="
                    f"{{{name!r}: {{{key!r}: [zarr.codecs.{instead}]}}}}"
                )

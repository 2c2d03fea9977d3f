"""Write small results to one netCDF file, whole or not at all."""

import json
import os
from collections.abc import Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.options import get_option
from xresdiff.store.layout import check_names, chunks_of, cut_dims, streamed

__all__ = ["to_netcdf"]

LIMIT = 4 * 10**9  # bytes; it is in memory as a whole before it is written


def to_netcdf(ens: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a small ensemble to a netCDF file, compressed; it appears whole or not at all.

    Parameters
    ----------
    ens : xarray.Dataset, (member, time, ..., y, x)
        Lazy or not, of up to 4 GB.
    path : path-like
        Of the file, which must not be there.

    Raises
    ------
    StoreError
        If the file is there already or cannot be written, or the ensemble is larger.

    See Also
    --------
    to_zarr : For results of any size; killed and called again, it goes on.

    Notes
    -----
    It is computed chunk by chunk and held in memory until it is written. What netCDF has no type
    for in attributes, such as dictionaries, is written as JSON.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> ens = xr.Dataset({"rain": (("member", "y", "x"), np.ones((2, 3, 4)))})
    >>> to_netcdf(ens, f"{mkdtemp()}/ens.nc")
    """
    check_names(ens)
    file = _checked(ens, path)
    draft = file.with_name(f".{file.name}.draft")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()  # before hours of computing for a place that cannot be written to
        written = _plain(_computed(ens, file.name))
        written.to_netcdf(draft, engine="netcdf4", format="NETCDF4", encoding=_encodings(written))
        with draft.open("rb") as opened:
            os.fsync(opened.fileno())
        draft.replace(file)
    except (OSError, RuntimeError) as error:  # HDF5 tells of a full disk by the latter
        if isinstance(error, RuntimeError) and "HDF" not in str(error):
            raise
        raise StoreError(
            f"cannot write {file}: {error}; nothing of it is kept. Once that is mended, or for "
            "another path, run the same line again"
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _checked(ens: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    text = os.fspath(path)
    if "://" in text:
        raise StoreError(
            f"{text} is a URL; netCDF needs the path of a file on this machine. Type "
            "ens.resdiff.to_zarr(url), which takes URLs"
        )
    file = Path(text).expanduser().absolute()
    zarr = str(file.with_suffix(".zarr"))
    if ens.nbytes > LIMIT:
        raise StoreError(
            f"the ensemble has {ens.nbytes / 1e9:.1f} GB, more than the {LIMIT / 1e9:.0f} GB that "
            f"are written to one netCDF file; type ens.resdiff.to_zarr({zarr!r})"
        )
    if file.exists():
        raise StoreError(
            f"{file} is there already; it is left as it is. Type another path, or first remove "
            f"it: os.remove({str(file)!r})"
        )
    return file


def _computed(ens: xr.Dataset, name: str) -> xr.Dataset:
    """Compute an ensemble chunk by chunk, the members of a time together."""
    from tqdm.auto import tqdm

    fields = [field for field in streamed(ens) if ens[field].chunks is not None]
    rest = ens.drop_vars(fields).compute()
    if not fields:
        return rest
    filled = {field: np.empty(ens[field].shape, ens[field].dtype) for field in fields}
    parts = list(_parts(ens))
    for part in tqdm(
        parts, desc=f"computing {name}", unit="chunk", disable=not get_option("progress")
    ):
        done = ens[fields].drop_vars(ens.coords, errors="ignore").isel(part).compute()
        for field in fields:
            filled[field][tuple(part.get(dim, slice(None)) for dim in ens[field].dims)] = done[
                field
            ]
    made = {field: (ens[field].dims, filled[field], ens[field].attrs) for field in fields}
    return rest.assign(made)[list(ens.data_vars)]


def _parts(ens: xr.Dataset) -> list[dict[Hashable, slice]]:
    """Cut an ensemble into its chunks along the first dimension that is not of the members."""
    cut, chunks = cut_dims(ens), chunks_of(ens)
    if not cut:
        return [{}]
    dim = min(cut, key=lambda d: chunks[d] / max(ens.sizes[d], 1))
    return [{dim: slice(i, i + chunks[dim])} for i in range(0, ens.sizes[dim], chunks[dim])]


def _plain(ens: xr.Dataset) -> xr.Dataset:
    """Give a Dataset attributes that netCDF has types for, and no encoding of other formats."""
    ens = ens.drop_encoding().assign_attrs(_told(ens.attrs))
    for variable in ens.variables.values():
        variable.attrs = _told(variable.attrs)
    return ens


def _told(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _attribute(value) for name, value in attrs.items() if value is not None}


def _attribute(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, str | bytes | int | float | np.number):
        return value
    if isinstance(value, list | tuple | np.ndarray) and len(value):
        array = np.asarray(value)
        if array.ndim == 1 and array.dtype.kind in "iufSU":
            return value
    return json.dumps(value, default=lambda v: getattr(v, "tolist", v.__str__)())


def _encodings(ens: xr.Dataset) -> dict[Hashable, dict[str, Any]]:
    told: dict[Hashable, dict[str, Any]] = {name: {"_FillValue": None} for name in ens.coords}
    for name in streamed(ens):
        field = ens[name]
        if field.dtype.kind in "iuf" and field.size:
            sizes = tuple(1 for _ in field.dims[:-2]) + field.shape[-2:]
            told[name] = {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": sizes}
    return told

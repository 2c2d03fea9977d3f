"""What determines the numbers of an ensemble, as checksums by name, and what differs of it.

It is the provenance in the attributes, the names, dimensions, types and attributes of all
variables, and the values of all that does not run along the dimensions that a store is cut along.
Labels along those are compared one by one (:mod:`xresdiff.store.growing`).
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.store.layout import cut_dims, streamed
from xresdiff.store.manifest import MANIFEST, Root

__all__ = ["DATA", "INPUT", "differences", "fingerprint", "way_out"]

VOLATILE = {"history", "date_created", MANIFEST}  # attributes that tell runs apart, not results
RELEASE = ("attribute xresdiff_version", "attribute source")
INPUT = "attribute xresdiff_input"
DATA = "data "  # what the checksums of values in memory begin with

SHOWN = 60  # characters of a value in a message


def fingerprint(ens: xr.Dataset) -> dict[str, str]:
    """Return the checksums of what determines an ensemble, by name.

    Values of lazy variables follow from the provenance; those in memory count themselves.

    Examples
    --------
    >>> ens = xr.Dataset({"rain": (("member", "y", "x"), np.ones((2, 3, 4)))}, attrs={"seed": 0})
    >>> list(fingerprint(ens))
    ['attribute seed', 'variable rain', 'data rain']
    """
    cut, fields = cut_dims(ens), streamed(ens)
    told = {
        f"attribute {name}": _checksum(_canonical(value))
        for name, value in ens.attrs.items()
        if name not in VOLATILE
    }
    for key in sorted(ens.variables, key=str):
        name, variable = str(key), ens.variables[key]
        sizes = [
            (str(dim), variable.sizes[dim] if dim not in cut else "any") for dim in ens[key].dims
        ]
        about = (sizes, _kind(variable.dtype), variable.attrs, name in ens.coords)
        told[f"variable {name}"] = _checksum(_canonical(about))
        if variable.chunks is None and (name in fields or not set(cut) & set(variable.dims)):
            told[f"{DATA if name in fields else 'values '}{name}"] = _checksum(
                _bytes(variable.values)
            )
    return told


def differences(
    ours: dict[str, str], ens: xr.Dataset, root: Root, there: xr.Dataset, ignored: Collection[str]
) -> dict[str, str]:
    """Say in what an ensemble differs from that of a store, by the names of `fingerprint`.

    Parameters
    ----------
    ours : dict of str to str
        Checksums of the ensemble.
    ens : xarray.Dataset
        The ensemble.
    root : Root
        Of the store.
    there : xarray.Dataset
        What the store holds, opened.
    ignored : iterable of str
        What may differ; `DATA` stands for all values in memory.
    """
    theirs = root.manifest.fingerprint
    told = {}
    for key in sorted({*ours, *theirs} - set(ignored)):
        if ours.get(key) == theirs.get(key):
            continue
        if key.startswith(DATA) and (DATA in ignored or not (key in ours and key in theirs)):
            continue  # in memory in one of the two calls, lazy in the other
        told[key] = _difference(key, ens, root, there)
    return told


def way_out(keys: Iterable[str], root: Root) -> str:
    """Return what to type if nothing but the input or the release differs, else nothing."""
    keys = set(keys)
    told = {f"attribute {name}" for name in root.attributes}
    if not keys or not keys <= {INPUT, *RELEASE} & told:
        return ""
    kept = ", ".join(
        f"{name}={root.attributes[name]!r}"
        for name in sorted(key.removeprefix("attribute ") for key in keys)
    )
    because = []
    if INPUT in keys:
        because.append(
            "The input alone differs: its values, or, if it is lazy, where it is read from, when "
            "that was changed, or its chunks. If you know that the data are the same"
        )
    if keys & set(RELEASE):
        because.append(
            "The version of xresdiff differs. If you know that both draw the same members"
            if not because
            else "and that both versions of xresdiff draw the same members"
        )
    return f" {' '.join(because)}, type: ens = ens.assign_attrs({kept})"


def _difference(key: str, ens: xr.Dataset, root: Root, there: xr.Dataset) -> str:
    kind, _, name = key.partition(" ")
    if kind == "attribute":
        ours, theirs = ens.attrs.get(name), root.attributes.get(name)
        return f"{name} is {_shown(theirs)} there, {_shown(ours)} here"
    if name not in ens.variables or name not in there.variables:
        where = "here" if name in ens.variables else "there"
        return f"{name} is {where} alone"
    ours, theirs = ens.variables[name], there.variables[name]
    if kind == "variable":
        return f"{name} is {_about(theirs, ours)} there, {_about(ours, theirs)} here"
    if kind == "values" and ours.shape == theirs.shape:
        return f"the values of {name} differ{_first(ours, theirs)}"
    return f"the values of {name} differ"


def _about(variable: xr.Variable, other: xr.Variable) -> str:
    """Describe a variable, with those of its attributes that differ from another's."""
    sizes = ", ".join(f"{dim}: {size}" for dim, size in variable.sizes.items())
    attrs = {
        name: variable.attrs.get(name)
        for name in sorted({*variable.attrs, *other.attrs}, key=str)
        if _canonical(variable.attrs.get(name)) != _canonical(other.attrs.get(name))
    }
    return f"{variable.dtype} ({sizes})" + (f" with {_shown(attrs)}" if attrs else "")


def _first(ours: xr.Variable, theirs: xr.Variable) -> str:
    """Name the first value that differs."""
    a, b = np.asarray(theirs.values), np.asarray(ours.values)
    different = np.argwhere(~((a == b) | ((a != a) & (b != b))))
    if not len(different):
        return ""
    at = tuple(int(i) for i in different[0])
    place = ", ".join(f"{dim}={i}" for dim, i in zip(ours.dims, at, strict=True))
    return f": {_shown(a[at])} there, {_shown(b[at])} here{f' at {place}' if place else ''}"


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, np.generic) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _kind(dtype: np.dtype) -> str:
    """Name a type, whatever the length of texts and the unit of times."""
    return dtype.kind if dtype.kind in "USOTmM" else dtype.str


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _canonical(value: Any) -> bytes:
    """Write attributes and the like as text that is the same in every process."""
    plain = json.dumps(value, sort_keys=True, default=lambda v: getattr(v, "tolist", v.__str__)())
    return plain.encode()


def _bytes(values: np.ndarray) -> bytes:
    """Return the bytes of an array; of objects such as strings and cftime dates, their text."""
    if values.dtype.kind in "OUST":
        return _canonical([str(value) for value in values.ravel()])
    return np.ascontiguousarray(values).tobytes()

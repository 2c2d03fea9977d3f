"""Ensembles of some times to write, what is in their stores, and clusters to write them with."""

import os
from itertools import product
from pathlib import Path
from zlib import crc32

import numpy as np
import xarray as xr

from xresdiff.store.manifest import read_root
from xresdiff.store.pieces import Piece
from xresdiff.store.places import Place, place_of
from xresdiff.tutorial import rain_pair

TIMES, MEMBERS = 4, 2


def rain_ensemble(times=TIMES, members=MEMBERS, steps=2, device="cpu"):
    """Build rain of the default model lazily: a member and a time in a chunk."""
    coarse = rain_pair(shape=(64, 64), times=times)[0].chunk(time=1)
    options = {"members": members, "steps": steps, "chunks": {"member": 1}, "device": device}
    return coarse.resdiff.downscale(**options)


def chunk_files(path):
    """Read the chunks of a store: the bytes by place."""
    files = {file.relative_to(path): file for file in Path(path).rglob("*") if file.is_file()}
    return {
        str(name): file.read_bytes() for name, file in files.items() if file.name != "zarr.json"
    }


def finished_pieces(path):
    """Return the member and time of the chunks that the manifest of a store counts as finished."""
    root = read_root(place_of(str(path), None))
    if root is None:
        return set()
    dims = list(root.manifest.extents)
    places = np.argwhere(root.manifest.finished)
    return {(int(p[dims.index("member")]), int(p[dims.index("time")])) for p in places}


def lines(file):
    """Return the lines of a log that processes append to."""
    return Path(file).read_text().splitlines() if Path(file).exists() else []


def note(file, line):
    """Append a line to a log, whole even if several processes do at once."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def watch_networks(file):
    """Log the means and the members that this process computes; these as they begin and end."""
    from xresdiff.engine.runtime import Runtime

    mean, members = Runtime.mean, Runtime.members

    def watched_mean(self, coarse, *rest):
        note(file, f"mean {crc32(coarse.tobytes())}")
        return mean(self, coarse, *rest)

    def watched_members(self, coarse, average, draws, *rest):
        (draw,) = draws  # of a chunk
        what = f"{draw.member} {' '.join(draw.labels)}"
        note(file, f"begin {what}")
        result = members(self, coarse, average, draws, *rest)
        note(file, f"members {what}")
        return result

    Runtime.mean, Runtime.members = watched_mean, watched_members


def empty_store(ens, path):
    """Make a store for the variables of an ensemble, without any of its chunks."""
    ens.to_zarr(path, compute=False, zarr_format=3, consolidated=False)
    return Place(str(path))


def cut_up(ens, shared, **sizes):
    """Cut an ensemble into pieces of these sizes; those alike along dimension `shared` are one."""
    counts = {dim: -(-ens.sizes[dim] // size) for dim, size in sizes.items()}
    outer = [dim for dim in sizes if dim != shared]
    inner = [dim for dim in sizes if dim == shared]
    for place in product(*(range(counts[dim]) for dim in outer)):
        block = []
        for own in product(*(range(counts[dim]) for dim in inner)):
            at = dict(zip(outer + inner, place + own, strict=True))
            region = {
                dim: slice(at[dim] * size, min((at[dim] + 1) * size, ens.sizes[dim]))
                for dim, size in sizes.items()
            }
            block.append(Piece(tuple(at[dim] for dim in sizes), region, region))
        yield tuple(block)


def ensemble_of(times, members, mean, member, height=3):
    """Build what is like an ensemble: a chunk per time and member; the members share a mean.

    `mean` and `member` are called with an array of a chunk, and return one.
    """
    start = xr.DataArray(
        np.arange(float(times * height)).reshape(times, height), dims=("time", "y")
    )
    numbers = xr.DataArray(np.arange(float(members)), dims="member").chunk(member=1)
    alike = {"dask": "parallelized", "output_dtypes": [float]}
    means = xr.apply_ufunc(mean, start.chunk(time=1), **alike)
    fields = xr.apply_ufunc(lambda n, m: member(n + 1000 * m), numbers, means, **alike)
    return xr.Dataset({"rain": fields, "twice": 2 * fields})


def expected_of(times, members, height=3):
    """Return the values of that ensemble where its functions change nothing."""
    means = np.arange(float(times * height)).reshape(times, height)
    return np.arange(float(members))[:, None, None] + 1000 * means

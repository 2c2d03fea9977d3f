"""Draw the curves of long runs: time and peak memory over area, times, members and workers.

    python benchmarks/scale.py                        # all of it: an hour on two cores
    python benchmarks/scale.py --quick                # to see that it runs: two minutes
    python benchmarks/scale.py --only area times

Every row is a process of its own; "GB" is the most that it held, all in all, as the kernel counted
it (VmHWM). Tables are in reStructuredText. Needs no data: inputs are random numbers.

* ``area``: one member of one time, computed. "12 outputs" is a small network with random weights
  on a grid of its own, as large as that of China at 3 km (1600 x 2400, arXiv 2512.05377);
  "rain-16x" is the model that is built in. A straight line is laid through the seconds.
* ``times``: 4 members of 128 x 128 points, one step of the sampler, through ``to_zarr``.
* ``members``: of one time of 448 x 448 points, two steps, through ``to_zarr``.
* ``workers``: the same run on a LocalCluster, processes of one thread each.
* ``graph``: a lazy ensemble of 100 000 times x 64 members is built, not computed; "fused" are the
  tasks for each chunk when dask has optimised the graph of one chunk of times.
* ``writer``: what ``to_zarr`` costs for each chunk, where there is next to nothing in it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # of tests/toys.py

FACTOR, SPACING_KM = 16, 16.0  # of rain-16x
OUTPUTS = 12
AREAS = ((448, 448), (800, 800), (800, 1200), (1600, 1600), (1600, 2400))
ENOUGH = 60.0  # seconds after which nothing is repeated

Row = dict[str, Any]
Case = dict[str, Any]


def peak_gb() -> float:
    """Return the most memory that this process ever held."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # no Linux; there, ru_maxrss would count the parent in
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    return float(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def timed(call: Callable[[], object], repeat: int) -> float:
    """Return the median of the seconds that calls take; what is long is not repeated."""
    seconds: list[float] = []
    while len(seconds) < repeat and sum(seconds) < ENOUGH:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


# --- inputs and models


def hours(n: int) -> np.ndarray:
    """Return times, an hour apart."""
    return np.datetime64("1950-01-01", "ns") + np.arange(n) * np.timedelta64(1, "h")


def rain(shape: tuple[int, int], times: int) -> xr.Dataset:
    """Return rain on cells of 16 km, as many as refine to a shape of 1 km, in memory."""
    import xresdiff

    ny, nx = shape[0] // FACTOR, shape[1] // FACTOR
    grid = xresdiff.target_grid(
        crs="EPSG:3035", center=(50.0, 10.0), spacing_km=SPACING_KM, shape=(ny, nx)
    )
    values = np.random.default_rng(0).gamma(0.3, 2.0, (times, ny, nx)).astype(np.float32)
    field = (("time", *grid.lat.dims), values, {"units": "mm h-1"})
    return grid.assign_coords(time=hours(times)).assign(precip_rate=field)


def twelve(shape: tuple[int, int], folder: str) -> tuple[xr.Dataset, Any]:
    """Return fields of a quarter degree, and a model with a grid of its own of this shape."""
    from tests.toys import write_fixed_model
    from xresdiff.models.card import Channel, FixedTarget
    from xresdiff.models.grid_file import write_grid

    lat, lon = 12 + 0.027 * np.arange(shape[0]), 72 + 0.031 * np.arange(shape[1])
    channels = tuple(Channel(f"v{i}", "", "1", regridding="bilinear") for i in range(OUTPUTS))
    model = write_fixed_model(
        Path(folder) / "model",
        write_grid(lat, lon),
        inputs=channels,
        outputs=channels,
        target=FixedTarget(region="China", spacing_km=3.0, coarse_spacing_km=25.0),
        patch=448,
        precision="auto",
    )
    south, east = np.arange(11, lat[-1] + 1, 0.25), np.arange(71, lon[-1] + 1, 0.25)
    rng, dims = np.random.default_rng(0), ("time", "lat", "lon")
    drawn = {
        c.name: (dims, rng.standard_normal((1, len(south), len(east)), np.float32), {"units": "1"})
        for c in channels
    }
    return xr.Dataset(drawn, {"time": hours(1), "lat": south, "lon": east}), model


def lazy_rain(shape: tuple[int, int], times: int, folder: str) -> xr.Dataset:
    """Return rain that is read from a store, a time at a time."""
    path = f"{folder}/coarse.zarr"
    rain(shape, times).chunk(time=1).to_zarr(path, zarr_format=3, consolidated=False)
    return xr.open_zarr(path, chunks={"time": 1}, consolidated=False)


def warm_up() -> None:
    """Import what is imported at the first run, and run the smallest there is."""
    import xresdiff

    xresdiff.downscale(rain((64, 64), 1), members=1, steps=1)


# --- the rows


def area(model: str, shape: tuple[int, int], tile: Any, steps: int, repeat: int) -> Row:
    """Compute one member."""
    import xresdiff

    with TemporaryDirectory() as folder:
        ds, opened = twelve(shape, folder) if model == "12 outputs" else (rain(shape, 1), model)
        how = {"tile": tile} if tile else {}
        lazy = xresdiff.downscale(ds.chunk(time=1), members=1, model=opened, steps=steps, **how)
        seconds = timed(lazy.compute, repeat)
    return {
        "model": model,
        "windows": "independent" if tile else "blended",
        "points": f"{shape[0]} x {shape[1]}",
        "million": shape[0] * shape[1] / 1e6,
        "steps": steps,
        "s / member": seconds,
        "GB": peak_gb(),
    }


def times(n: int, repeat: int) -> Row:
    """Write a run of so many times."""
    with TemporaryDirectory() as folder:
        ens = lazy_rain((128, 128), n, folder).resdiff.downscale(members=4, steps=1)
        seconds = timed(lambda: ens.resdiff.to_zarr(f"{folder}/ens.zarr"), 1)
    size = 4 * float(np.prod([n, 4, 128, 128])) / 1e9
    return {"times": n, "GB of the result": size, "ms / time": 1e3 * seconds / n, "GB": peak_gb()}


def members(n: int, repeat: int) -> Row:
    """Write a run of so many members."""
    with TemporaryDirectory() as folder:
        ens = lazy_rain((448, 448), 1, folder).resdiff.downscale(members=n, steps=2)
        seconds = timed(lambda: ens.resdiff.to_zarr(f"{folder}/ens.zarr"), 1)
    return {"members": n, "s": seconds, "s / member": seconds / n, "GB": peak_gb()}


def workers(n: int, of: int, repeat: int) -> Row:
    """Write a run of so many times with workers of one thread each; none is this process."""
    import torch
    from distributed import Client, LocalCluster

    with TemporaryDirectory() as folder:
        # the first times are run before, so that the workers have loaded what they need
        ens = lazy_rain((256, 256), of + 2 * max(n, 1), folder).resdiff.downscale(members=4)
        first, rest = ens.isel(time=slice(of, None)), ens.isel(time=slice(of))
        most: dict[str, float] = {}

        def write() -> float:
            first.resdiff.to_zarr(f"{folder}/first.zarr")
            return timed(lambda: rest.resdiff.to_zarr(f"{folder}/ens.zarr"), 1)

        if n:
            cluster = LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None)
            with cluster, Client(cluster) as client:
                seconds, most = write(), client.run(peak_gb)
        else:
            seconds = write()
    return {
        "workers": n or f"none, {torch.get_num_threads()} threads",
        "times x members": f"{of} x 4",
        "s": seconds,
        "GB of this process": peak_gb(),
        "GB of each worker": max(most.values(), default=float("nan")),
    }


def graph(chunk: int, times: int, repeat: int) -> Row:
    """Build a lazy ensemble."""
    import dask.array as da

    import xresdiff

    small = rain((448, 448), 1)
    field = da.ones((times, 28, 28), chunks=(chunk, -1, -1), dtype="f4")
    ds = small.isel(time=0, drop=True).assign_coords(time=hours(times))
    ds["precip_rate"] = (("time", *small.precip_rate.dims[1:]), field)
    ds["precip_rate"].attrs = small.precip_rate.attrs
    before = peak_gb()
    seconds = timed(lambda: xresdiff.downscale(ds, members=64), repeat)
    most = peak_gb()
    ens = xresdiff.downscale(ds, members=64)
    whole, one = ens.precip_rate.data, ens.precip_rate.isel(time=slice(chunk)).data
    own, after = np.prod(whole.numblocks), np.prod(one.numblocks)
    return {
        "times / chunk of the input": chunk,
        "of the ensemble": whole.chunks[1][0],
        "members": whole.chunks[0][0],
        "chunks": int(own),
        "s": seconds,
        "GB more": most - before,
        "tasks / chunk": sum(map(len, whole.dask.layers.values())) / own,
        "fused": len(one.__dask_optimize__(one.dask, one.__dask_keys__())) / after,
    }


def writer(times: int, repeat: int) -> Row:
    """Write chunks with next to nothing in them."""
    import dask.array as da

    import xresdiff

    shape = (64, times, 8, 8)
    zeros = da.zeros(shape, chunks=(16, 1, -1, -1), dtype="f4")
    ens = xr.Dataset({"rain": (("member", "time", "y", "x"), zeros)}, {"time": hours(times)})
    with TemporaryDirectory() as folder:
        seconds = timed(lambda: xresdiff.to_zarr(ens, f"{folder}/ens.zarr"), 1)
    return {"chunks": 4 * times, "s": seconds, "ms / chunk": 1e3 * seconds / (4 * times)}


# --- the curves


def area_cases(quick: bool) -> Iterator[Case]:
    """Yield the rows of a curve: the keywords of its function."""
    shapes = AREAS[:2] if quick else AREAS
    for model, steps in (("12 outputs", 2), ("rain-16x", 5)):
        for tile in (None,) if quick else (None, "independent"):
            how = {"model": model, "tile": tile, "steps": 1 if quick else steps}
            yield from ({**how, "shape": shape} for shape in shapes)


CURVES: dict[str, tuple[Callable[..., Row], Callable[[bool], Iterator[Case]]]] = {
    "area": (area, area_cases),
    "times": (times, lambda quick: ({"n": n} for n in ((10, 50) if quick else (10, 100, 1000)))),
    "members": (members, lambda quick: ({"n": n} for n in ((1, 4) if quick else (1, 4, 16, 64)))),
    "workers": (
        workers,
        lambda quick: (
            {"n": n, "of": 4 if quick else 24}
            for n in ((0, 2) if quick else (0, 1, 2) if (os.cpu_count() or 1) < 4 else (0, 1, 2, 4))
        ),
    ),
    "graph": (
        graph,
        lambda quick: (
            {"chunk": n, "times": 100_000} for n in ((1000,) if quick else (1, 24, 1000))
        ),
    ),
    "writer": (
        writer,
        lambda quick: ({"times": n} for n in ((50, 100) if quick else (250, 1000, 4000))),
    ),
}


def in_process(curve: str, case: Case, options: argparse.Namespace) -> Row | str:
    """Measure a row in a process of its own; return why if it fails."""
    repeat = ("--repeat", str(options.repeat))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--row", json.dumps([curve, case]), *repeat],
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
        text=True,
    )
    if done.returncode:
        return (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def rst(rows: list[Row]) -> str:
    """Format rows as a simple table of reStructuredText."""
    cells = [list(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = " ".join("=" * width for width in widths)
    lines = [" ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def shown(value: Any) -> str:
    """Write a number with three digits."""
    if not isinstance(value, float):
        return str(value)
    return (
        "-" if np.isnan(value) else np.format_float_positional(value, 3, fractional=False, trim="-")
    )


def lines_through(rows: list[Row]) -> Iterator[str]:
    """Yield, for each model, the straight line through time and area, and how far rows are off."""
    for kind in dict.fromkeys((row["model"], row["windows"]) for row in rows):
        own = [row for row in rows if (row["model"], row["windows"]) == kind]
        x, y = (np.array([row[name] for row in own]) for name in ("million", "s / member"))
        slope, start = np.polyfit(x, y, 1, w=1 / y)
        off = np.abs((start + slope * x) / y - 1).max()
        per_point = y / x
        yield (
            f"{', '.join(kind)}: {start:.2f} s + {slope:.2f} s a million points, rows are at most "
            f"{off:.0%} off; seconds a point from smallest to largest x "
            f"{per_point[-1] / per_point[0]:.2f}"
        )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small, in two minutes")
    parser.add_argument("--only", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--repeat", type=int, default=3, help="of which the median is taken")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--row", type=json.loads, help="print one row as JSON")
    return parser.parse_args()


def main() -> None:
    """Print tables, row by row to standard error and whole to standard output."""
    options = parse()
    if options.row:
        import xresdiff

        xresdiff.set_options(progress=False)
        curve, case = options.row
        if curve != "writer":
            warm_up()
        print(json.dumps(CURVES[curve][0](**case, repeat=options.repeat)))
        return
    options.repeat = 1 if options.quick else options.repeat
    print(f"``{' '.join(['python', *sys.argv])}``, {options.threads} threads")
    for curve in options.only:
        rows: list[Row] = []
        for case in CURVES[curve][1](options.quick):
            found = in_process(curve, case, options)
            print(f"{curve} {case}: {found}", file=sys.stderr, flush=True)
            rows += [] if isinstance(found, str) else [found]
        print(f"\n{curve}\n\n{rst(rows) if rows else 'nothing worked'}", flush=True)
        if curve == "area" and rows:
            print("\n" + "\n".join(f"* {line}" for line in lines_through(rows)), flush=True)


if __name__ == "__main__":
    main()

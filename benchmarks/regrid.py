"""Time the making of regridding weights: the stand-in for ESMPy, and ESMPy itself if there is one.

    python benchmarks/regrid.py
    python benchmarks/regrid.py --cases regional conservative --repeat 5

Every row is a whole ``xesmf.Regridder``, each engine in a process of its own: the median of some
runs after one to warm up, and the most memory that the process ever held. Needs no data.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pyproj
import xarray as xr

from xresdiff.grids.esmf import import_xesmf, weights_by

RADIUS_M = 6_370_000.0
HERE, ESMPY = "stand-in", "ESMPy"
COLUMNS = ("case", "targets", "weights", *(f"{e} {u}" for e in (HERE, ESMPY) for u in ("s", "GB")))

Pair = tuple[xr.Dataset, xr.Dataset]


def lambert(ny: int, nx: int, spacing_m: float, lat: float, lon: float) -> xr.Dataset:
    """Return a Lambert-conformal grid with the corners of its cells, true at its centre."""
    project = pyproj.Proj(proj="lcc", lat_1=lat, lat_2=lat, lat_0=lat, lon_0=lon, R=RADIUS_M)
    coords = {}
    for end, more in (("", 0), ("_b", 1)):
        y, x = (spacing_m * (np.arange(n + more) - (n + more - 1) / 2) for n in (ny, nx))
        there = project(*np.meshgrid(x, y), inverse=True)
        for name, values in zip(("lon", "lat"), there, strict=True):
            coords[name + end] = ((f"y{end}", f"x{end}"), values)
    return xr.Dataset(coords=coords)


def latlon(lat: np.ndarray, lon: np.ndarray) -> xr.Dataset:
    """Return a grid of even latitudes and longitudes with the corners of its cells."""
    axes = {"lat": lat, "lon": lon}
    edges = {
        f"{name}_b": (f"{name}_b", np.append(v, 2 * v[-1] - v[-2]) - (v[1] - v[0]) / 2)
        for name, v in axes.items()
    }
    return xr.Dataset(coords=axes | edges)


def regional() -> Pair:
    """Return what a model of Taiwan takes: ERA5's grid and 448 x 448 points 2 km apart."""
    source = latlon(19.25 + 0.25 * np.arange(36), 116.0 + 0.25 * np.arange(40))
    return source, lambert(448, 448, 2070.0, 23.7, 120.9)


def whole_earth() -> Pair:
    """Return all of ERA5's grid and 1600 x 2400 points 3 km apart."""
    source = latlon(90 - 0.25 * np.arange(721), 0.25 * np.arange(1440))
    return source, lambert(1600, 2400, 3000.0, 36.0, 105.0)


def conservative() -> Pair:
    """Return cells 2 km wide, and ERA5's that hold them."""
    target = latlon(18.0 + 0.25 * np.arange(46), 115.0 + 0.25 * np.arange(48))
    return lambert(450, 450, 2000.0, 23.7, 120.9), target


CASES: dict[str, tuple[str, Callable[[], Pair], dict[str, object]]] = {
    "regional": ("0.25 degrees to 2 km, bilinear", regional, {"method": "bilinear"}),
    "conservative": (
        "2 km to 0.25 degrees, conservative",
        conservative,
        {"method": "conservative"},
    ),
    "global": (
        "0.25 degrees to 3 km, bilinear, global",
        whole_earth,
        {"method": "bilinear", "periodic": True},
    ),
}


def measure(case: str, engine: str, repeat: int) -> dict[str, float]:
    """Make the weights of a case some times, in this process."""
    if engine == HERE:
        sys.modules |= dict.fromkeys(("esmpy", "ESMF"))  # an import of None fails
    xesmf = import_xesmf()
    _, grids, options = CASES[case]
    tiny = latlon(np.arange(3.0), np.arange(3.0))
    xesmf.Regridder(tiny, tiny, **{**options, "periodic": False})  # warms up numba
    (source, target), seconds = grids(), []
    for _ in range(repeat):
        started = time.perf_counter()
        regridder = xesmf.Regridder(source, target, **options)
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": statistics.median(seconds),
        "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,  # Linux counts in kB
        "weights": regridder.weights.data.nnz,
        "targets": regridder.n_out,
    }


def in_process(case: str, engine: str, repeat: int) -> dict[str, float]:
    """Measure in a process of its own."""
    flags = ["--cases", case, "--engine", engine, "--repeat", str(repeat)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, *flags], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def cells(case: str, repeat: int, engines: list[str]) -> list[str]:
    """Return a row of the table: what ESMPy took, and how many times that of the stand-in it is."""
    found = {engine: in_process(case, engine, repeat) for engine in engines}
    here = found[HERE]
    row = [CASES[case][0], f"{here['targets']:,}", f"{here['weights']:,}"]
    row += [f"{here['seconds']:.2f}", f"{here['gb']:.2f}"]
    if ESMPY not in found:
        return [*row, "-", "-"]
    ratios = {key: found[ESMPY][key] / here[key] for key in ("seconds", "gb")}
    return [*row, *(f"{found[ESMPY][key]:.2f} (x {ratio:.1f})" for key, ratio in ratios.items())]


def markdown(row: list[str]) -> str:
    """Format a row of a table."""
    return f"| {' | '.join(row)} |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--engine", choices=(HERE, ESMPY), help="print one measurement as JSON")
    parser.add_argument("--data", help="not used: for other benchmarks")
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(measure(options.cases[0], options.engine, options.repeat)))
        return
    engines = [HERE, *([ESMPY] if weights_by().startswith(ESMPY) else [])]
    print(f"`{' '.join(['python', *sys.argv])}`, {os.cpu_count()} cores\n")
    print(markdown(list(COLUMNS)) + "\n" + markdown(["---"] * len(COLUMNS)))
    for case in options.cases:
        print(markdown(cells(case, options.repeat, engines)), flush=True)


if __name__ == "__main__":
    main()

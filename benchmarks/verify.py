"""Time scores of an ensemble: ours, and those of the packages that are there.

    python benchmarks/verify.py
    python benchmarks/verify.py --quick
    python benchmarks/verify.py --scores crps ranks --shape 16 10 448 448

Every cell is a process of its own: the median of some calls after one to warm up, and the most
memory that the calls took beyond the data, which are made before. Data are float32 in memory,
members first. We work on pieces of them, in `--threads` threads; the others in one. What would take
more memory than `--limit` is measured on fewer times, and scaled, and said so. Needs no data.
"""

import argparse
import importlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr

DIMS = ("member", "time", "y", "x")
FULL, QUICK = (16, 50, 448, 448), (16, 10, 224, 224)
WARM_UP = (4, 2, 8, 8)
OURS = "xresdiff"

Field = xr.DataArray
Call = Callable[[Field, Field], Any]


def data(shape: tuple[int, ...]) -> tuple[Field, Field]:
    """Return temperatures of an ensemble and of the truth, in float32."""
    rng = np.random.default_rng(0)
    values = np.empty((shape[0] + 1, *shape[1:]), np.float32)
    for one in values:
        rng.standard_normal(out=one, dtype=np.float32)
    values += np.float32(280)
    return Field(values[1:], dims=DIMS, name="t"), Field(values[0], dims=DIMS[1:], name="t")


# --- the contenders; what they need is imported where it is used


def ours(name: str, **options: Any) -> Call:
    """Return a score of this package."""
    from xresdiff.verify import calibration, scores, spreads, tables

    homes = (scores, spreads, tables, calibration)
    function = next(getattr(home, name) for home in homes if hasattr(home, name))
    return lambda ens, obs: function(ens, obs, **options)


def scores_crps(method: str) -> Call:
    """Return the CRPS of scores."""
    from scores.probability import crps_for_ensemble

    return lambda ens, obs: crps_for_ensemble(ens, obs, "member", method=method)


def scores_ranks() -> Call:
    """Return the rank histogram of scores."""
    from scores.probability import rank_histogram

    return lambda ens, obs: rank_histogram(ens, obs, "member")


def scores_table() -> Call:
    """Return all scores of the table that scores has."""
    from scores import continuous
    from scores.probability import crps_for_ensemble

    def call(ens: Field, obs: Field) -> list[Any]:
        mean = ens.mean("member")
        found = [crps_for_ensemble(ens, obs, "member", method="fair"), continuous.mae(ens, obs)]
        found += [f(mean, obs) for f in (continuous.mae, continuous.rmse, continuous.additive_bias)]
        return [*found, continuous.correlation.pearsonr(mean, obs), *spread_by_xarray(ens, obs)]

    return call


def spread_by_xarray(ens: Field, obs: Field) -> list[Any]:
    """Return spread and its ratio to the error, as written with xarray alone."""
    variance = ens.var("member", ddof=1).mean()
    error = ((ens.mean("member") - obs) ** 2).mean()
    return [np.sqrt(variance), np.sqrt((1 + 1 / ens.sizes["member"]) * variance / error)]


def xskillscore_crps() -> Call:
    """Return the CRPS of xskillscore, which is not fair."""
    xskillscore = importlib.import_module("xskillscore")  # has no types

    return lambda ens, obs: xskillscore.crps_ensemble(obs, ens)


def xskillscore_ranks() -> Call:
    """Return the rank histogram of xskillscore."""
    xskillscore = importlib.import_module("xskillscore")  # has no types

    return lambda ens, obs: xskillscore.rank_histogram(obs, ens)


def xskillscore_table() -> Call:
    """Return all scores of the table that xskillscore has."""
    xskillscore = importlib.import_module("xskillscore")  # has no types

    def call(ens: Field, obs: Field) -> list[Any]:
        mean = ens.mean("member")
        found = [xskillscore.crps_ensemble(obs, ens), xskillscore.mae(*xr.broadcast(ens, obs))]
        names = ("mae", "rmse", "me", "pearson_r")
        found += [getattr(xskillscore, name)(mean, obs) for name in names]
        return [*found, *spread_by_xarray(ens, obs)]

    return call


def rules_crps(backend: str, estimator: str) -> Call:
    """Return the CRPS of scoringrules, of a view with the members last."""
    import scoringrules

    def call(ens: Field, obs: Field) -> Any:
        values = np.moveaxis(ens.values, 0, -1)
        found = scoringrules.crps_ensemble(obs.values, values, estimator=estimator, backend=backend)
        return found.mean()

    return call


XARRAY = "xarray by hand"
SCORES: dict[str, tuple[str, dict[str, Callable[[], Call]]]] = {
    "crps": (
        "CRPS, fair",
        {
            OURS: lambda: ours("crps"),
            "scores": lambda: scores_crps("fair"),
            "scoringrules, numba": lambda: rules_crps("numba", "fair"),
            "scoringrules, numpy": lambda: rules_crps("numpy", "fair"),
        },
    ),
    "crps_ecdf": (
        "CRPS, not fair",
        {
            OURS: lambda: ours("crps", fair=False),
            "scores": lambda: scores_crps("ecdf"),
            "xskillscore": xskillscore_crps,
            "scoringrules, numba": lambda: rules_crps("numba", "qd"),
            "scoringrules, numpy": lambda: rules_crps("numpy", "qd"),
        },
    ),
    "spread_skill": (
        "spread to error",
        {OURS: lambda: ours("spread_skill"), XARRAY: lambda: spread_by_xarray},
    ),
    "ranks": (
        "rank histogram",
        {
            OURS: lambda: ours("rank_histogram"),
            "scores": scores_ranks,
            "xskillscore": xskillscore_ranks,
        },
    ),
    "table": (
        "all of `scores()`",
        {
            OURS: lambda: ours("scores"),
            "scores + xarray": scores_table,
            "xskillscore + xarray": xskillscore_table,
        },
    ),
}


# --- measuring


@contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Watch the memory of this process; the function gives the GB it took at most beyond now."""
    page, done, most = os.sysconf("SC_PAGE_SIZE"), threading.Event(), [0]

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * page

    def watch() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], resident() - before)

    before = resident()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: most[0] / 1e9
    finally:
        done.set()
        thread.join()


def no_more_than(gb: float) -> None:
    """Have this process fail where it takes so much more memory than now."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + int(1e9 * gb),) * 2)


def measure(score: str, contender: str, options: argparse.Namespace) -> dict[str, float]:
    """Take a score some times, in this process."""
    import dask

    call, seconds = SCORES[score][1][contender](), []
    with dask.config.set(num_workers=int(os.environ["OMP_NUM_THREADS"])):
        call(*data(WARM_UP))  # imports, and numba compiles
        ens, obs = data(options.shape)
        no_more_than(options.limit)
        with peak_memory() as peak:
            for _ in range(options.repeat):
                started = time.perf_counter()
                call(ens, obs)
                seconds.append(time.perf_counter() - started)
                if sum(seconds) > 120:
                    break
    return {"seconds": statistics.median(seconds), "gb": peak(), "values": float(ens.size)}


def in_process(options: argparse.Namespace, score: str, contender: str) -> dict[str, float] | str:
    """Measure in a process of its own, on as many times as the limit of memory allows, or fail."""
    members, times, *field = options.shape
    while times:
        flags = ["--scores", score, "--contender", contender, "--repeat", str(options.repeat)]
        flags += ["--limit", str(options.limit), "--shape", *map(str, (members, times, *field))]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, *flags],
            capture_output=True,
            env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
            text=True,
        )
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1])
        if "MemoryError" not in done.stderr and done.returncode > 0:
            return done.stderr.strip().splitlines()[-1]
        times //= 2
    return "takes too much memory"


def is_there(contender: str) -> bool:
    """Tell whether a package is installed."""
    name = contender.split(",")[0].split(" ")[0]
    return importlib.util.find_spec(name) is not None


def rows(options: argparse.Namespace, score: str) -> Iterator[list[str]]:
    """Return a row for every contender: time and memory, and how many times ours they are."""
    title, contenders = SCORES[score]
    values, here = np.prod(options.shape), None
    for contender in filter(is_there, contenders):
        found = in_process(options, score, contender)
        if isinstance(found, str):
            yield [title, contender, f"fails: {found}", "", "", ""]
            continue
        scale = values / found["values"]
        seconds, gb = scale * found["seconds"], scale * found["gb"]
        here = here or (seconds, gb)
        note = "" if scale == 1 else f" (from 1/{scale:.3g} of the data)"
        ratios = (f"x {seconds / here[0]:.1f}", f"x {gb / max(here[1], 1e-3):.1f}")
        yield [title, contender, f"{seconds:.2f}{note}", ratios[0], f"{gb:.2f}{note}", ratios[1]]


def markdown(row: list[str]) -> str:
    """Format a row of a table."""
    return f"| {' | '.join(row)} |"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} values, not {FULL}")
    parser.add_argument("--scores", nargs="+", choices=SCORES, default=list(SCORES))
    parser.add_argument("--shape", nargs=4, type=int, metavar=("M", "T", "Y", "X"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--limit", type=float, default=15.0, help="GB beyond the data that a call may take"
    )
    parser.add_argument("--contender", help="print one measurement as JSON")
    parser.add_argument("--data", help="not used: for other benchmarks")
    options = parser.parse_args()
    options.shape = tuple(options.shape or (QUICK if options.quick else FULL))
    return options


def main() -> None:
    """Print a table."""
    options = parse()
    if options.contender:
        (score,) = options.scores
        print(json.dumps(measure(score, options.contender, options)))
        return
    size = 4 * np.prod(options.shape) / 1e9
    print(f"`{' '.join(['python', *sys.argv])}`, {options.threads} threads; float32 ", end="")
    print(f"{' x '.join(map(str, options.shape))}, {size:.2f} GB\n")
    columns = ["score", "by", "s", "time / ours", "GB beyond the data", "memory / ours"]
    print(markdown(columns) + "\n" + markdown(["---"] * len(columns)))
    for score in options.scores:
        for row in rows(options, score):
            print(markdown(row), flush=True)


if __name__ == "__main__":
    main()

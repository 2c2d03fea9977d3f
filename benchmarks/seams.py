"""Look for the seams of windows: gradients, spectra and members, beside a run without windows.

    python benchmarks/seams.py --quick
    python benchmarks/seams.py --shape 1024 1536 --tile 512
    python benchmarks/seams.py --data radar

Every row is a run of rain-16x over the same rain with the same noise, cut in some way, and is
compared with the run that is not cut:

area
    pixels of all windows over those of the field;
all
    mean absolute difference of neighbouring pixels over that of the run without windows;
edge, zone
    the same ratio across the edges of windows, and in the zones that they share, over `all`, with
    standard errors by the jackknife: of leaving out one case, or one member of a single case;
seam
    `edge` over the same ratio 16, 32 and 48 pixels beside the edges, at borders of coarse cells as
    they are: windows whose norms see other means differ over their whole width, which is no seam;
peak, error
    the excess of the ratio of the two spectra at the wavenumber of the windows and its harmonics
    over the ratio beside them, and the standard error of that, along the axis where it is larger;
apart
    root mean square difference of members from those without windows, over the spread.

The last row is the tolerance of the sampler, the difference that twice the steps make. All figures
are of the cube root of the rain, which is what the networks see.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from scipy.fft import dct

import xresdiff
from xresdiff.engine.arguments import Settings
from xresdiff.engine.runtime import Draw, Runtime, load
from xresdiff.engine.tiling import Tiling, padded_shape, tiling
from xresdiff.tutorial import rain_pair

FACTOR = 16
NEAR = (-2, -1, 1, 2)  # wavenumbers beside one that are compared with it
BESIDE = (-48, -32, -16, 16, 32, 48)  # pixels from an edge to pairs that it is compared with
HEAD = (
    "tile  overlap  mode         area            edge            seam            zone     all    "
    "peak   error   apart  s/member"
)


def synthetic(shape: tuple[int, int], cases: int) -> np.ndarray:
    """Return block means of made-up rain, (case, 1, Y, X) in mm/h."""
    pairs = [rain_pair(shape=shape, seed=seed)[0] for seed in range(cases)]
    return np.stack([coarse.precip_rate.values for coarse in pairs])


def observed(folder: Path, shape: tuple[int, int], cases: int) -> np.ndarray:
    """Return block means of the wettest parts of radar composites, (case, 1, Y, X) in mm/h."""
    store = zarr.storage.ZipStore(folder / "mrms_test.zarr.zip", mode="r")
    rain = xr.open_zarr(store, consolidated=False).precip_rate
    (height, width), made = shape, []
    for pick in np.linspace(0, len(rain) - 1, cases).astype(int):
        fine = np.nan_to_num(rain[pick].values.astype("f4"))  # without radar it is dry
        rows, columns = (
            range(0, n - size + 1, 128) for n, size in zip(fine.shape, shape, strict=True)
        )
        parts = [fine[i : i + height, j : j + width] for i in rows for j in columns]
        part = max(parts, key=lambda some: (some > 0.1).sum())
        made.append(part.reshape(height // FACTOR, FACTOR, width // FACTOR, FACTOR).mean((1, 3)))
    return np.stack(made)[:, None]


def ensemble(
    runtime: Runtime, coarse: np.ndarray, members: int, tiles: Tiling, factor: int = 1
) -> tuple[np.ndarray, float]:
    """Return the cube root of members, (case, member, y, x), and the seconds that one took.

    `factor` times the usual steps are taken.
    """
    runtime._tiling = lambda settings: tiles  # any size, for windows one by one, too
    sampler = runtime.card.sampler
    settings = Settings(replace(sampler, steps=factor * sampler.steps))
    draws = [Draw(t, (f"time={t}",), m) for t in range(len(coarse)) for m in range(members)]
    started = time.perf_counter()
    drawn = runtime.members(coarse, runtime.mean(coarse), draws, settings)
    seconds = (time.perf_counter() - started) / len(draws)
    return np.cbrt(drawn[:, 0]).reshape(len(coarse), members, *drawn.shape[-2:]), seconds


def spans(cover: list[tuple[slice, slice]], axis: int) -> list[slice]:
    """Return where windows lie along an axis."""
    ends = sorted({(window[axis].start, window[axis].stop) for window in cover})
    return [slice(*pair) for pair in ends]


def steps_at(along: list[slice], n: int) -> tuple[list[int], list[int]]:
    """Return the pairs of neighbours, each by its first, across edges and in shared zones."""
    edges = {span.start - 1 for span in along} | {span.stop - 1 for span in along}
    zones = {
        place for left, right in pairwise(along) for place in range(right.start - 1, left.stop)
    }
    return sorted(edges & set(range(n - 1))), sorted(zones & set(range(n - 1)))


def gradient_sums(
    cut: np.ndarray, whole: np.ndarray, cover: list[tuple[slice, slice]]
) -> np.ndarray:
    """Return sums of gradients at edges, beside them, in zones and of all, (4, 2, sample).

    Of the run that is cut, then of the whole one.
    """
    sums = np.zeros((4, 2, *whole.shape[:2]))
    for axis in (2, 3):
        n = whole.shape[axis]
        edges, zones = steps_at(spans(cover, axis - 2), n)
        beside = [edge + far for edge in edges for far in BESIDE if 0 <= edge + far < n - 1]
        for i, fields in enumerate((cut, whole)):
            steps = np.abs(np.diff(fields, axis=axis))
            for which, places in enumerate((edges, beside, zones, range(n - 1))):
                sums[which, i] += steps.take(places, axis=axis).sum((2, 3), dtype="f8")
    return sums.sum(3) if sums.shape[2] > 1 else sums[:, :, 0]


def gradient_ratios(sums: np.ndarray) -> np.ndarray:
    """Return the figures `edge`, `seam`, `zone` and `all`, (4,)."""
    edge, beside, zone, everywhere = sums[:, 0] / sums[:, 1]
    return np.array([edge / everywhere, edge / beside, zone / everywhere, everywhere])


def jackknife(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ratios of all samples together and their standard errors."""
    n, together = sums.shape[2], sums.sum(2)
    left = np.stack([gradient_ratios(together - sums[:, :, i]) for i in range(n)])
    return gradient_ratios(together), np.sqrt((n - 1) * left.var(axis=0))


def spectral_ratio(cut: np.ndarray, whole: np.ndarray, axis: int) -> np.ndarray:
    """Return the ratio of spectra along an axis, (wavenumber,)."""
    powers = []
    for fields in (cut, whole):
        power = dct(np.moveaxis(fields, 2 + axis, -1), type=2, axis=-1, norm="ortho") ** 2
        powers.append(power.mean((0, 1, 2), dtype="f8"))
    return powers[0] / powers[1]


def spectral_peak(
    cut: np.ndarray, whole: np.ndarray, cover: list[tuple[slice, slice]]
) -> tuple[float, float]:
    """Return the excess at the wavenumbers of the windows over those nearby, and its error."""
    found = []
    for axis in (0, 1):
        along, ratio = spans(cover, axis), spectral_ratio(cut, whole, axis)
        if len(along) == 1:
            continue
        stride = (along[-1].start - along[0].start) / (len(along) - 1)
        first = 2 * whole.shape[2 + axis] / stride  # half waves of the DCT
        places = np.round(first * np.arange(1, (len(ratio) - 4) / first)).astype(int)
        near = np.stack([ratio[places + beside] for beside in NEAR])
        error = np.std(near / near.mean(0)) / np.sqrt(len(places))
        found.append((float((ratio[places] / near.mean(0)).mean() - 1), float(error)))
    return max(found)


def apart(some: np.ndarray, others: np.ndarray) -> float:
    """Return the root mean square difference of members over the spread of the others."""
    spread = np.sqrt(others.var(axis=1, ddof=1).mean(dtype="f8"))
    return float(np.sqrt(((some - others) ** 2).mean(dtype="f8")) / spread)


def rows(
    runtime: Runtime, coarse: np.ndarray, members: int, tiles: list[int], overlaps: list[int]
) -> Iterator[str]:
    """Run every cut and yield a line of the table for each."""
    height, width = (n * FACTOR for n in coarse.shape[-2:])
    shape = padded_shape(runtime.card, (height, width))
    uncut = Tiling(max(shape), 0)
    whole, seconds = ensemble(runtime, coarse, members, uncut)
    yield f"{'none':<112}{seconds:8.2f}"
    for tile, overlap, independent in product(tiles, overlaps, (False, True)):
        layout = replace(tiling(runtime.card, tile, overlap), independent=independent)
        found, seconds = ensemble(runtime, coarse, members, layout)
        cover = layout.windows(shape)
        ratios, errors = jackknife(gradient_sums(found, whole, cover))
        told = "  ".join(f"{ratios[i]:6.3f} +- {errors[i]:.3f}" for i in range(3))
        peak, error = spectral_peak(found, whole, cover)
        area = sum((r.stop - r.start) * (c.stop - c.start) for r, c in cover) / np.prod(shape)
        mode = "independent" if independent else "blended"
        yield (
            f"{tile:4d}  {overlap:7d}  {mode:11}  "
            f"{area:5.2f}  {told}  {ratios[3]:6.3f}  {peak:6.3f}  {error:6.3f}  "
            f"{apart(found, whole):6.3f}{seconds:8.2f}"
        )
    twice, seconds = ensemble(runtime, coarse, members, uncut, factor=2)
    yield f"{'none, twice the steps':<104}{apart(twice, whole):6.3f}{seconds:8.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of radar data; made-up rain without")
    parser.add_argument("--shape", type=int, nargs=2, default=(768, 1024))
    parser.add_argument("--tile", type=int, nargs="+", default=[256])
    parser.add_argument("--overlap", type=int, nargs="+", default=[0, 16, 32, 64, 96])
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a small field, in under a minute")
    asked = parser.parse_args()
    if asked.quick:
        asked.shape, asked.tile, asked.overlap = (256, 384), [128], [0, 32, 64]
    xresdiff.set_options(progress=False)
    shape = tuple(n // FACTOR * FACTOR for n in asked.shape)
    made = observed(asked.data, shape, asked.cases) if asked.data else synthetic(shape, asked.cases)
    runtime = load(xresdiff.open_model("rain-16x").key, "auto", "float32")
    print(HEAD)
    for line in rows(runtime, made, asked.members, asked.tile, asked.overlap):
        print(line, flush=True)


if __name__ == "__main__":
    main()

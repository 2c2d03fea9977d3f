"""Rain made here, by a stochastic generator: for demonstrations and tests, without network."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xresdiff.errors import raise_problems
from xresdiff.grids.coarsen import coarsen

__all__ = ["rain_field", "rain_pair"]

FIRST_TIME = np.datetime64("2024-07-01T12:00", "ns")
TIME_STEP = np.timedelta64(10, "m")
CENTRE = (47.0, 8.0)  # degrees north and east: where the plane of the fields touches the globe

MARGIN_KM = 100.0  # rim of the periodic world around the field, so that nothing seen repeats
MEMORY_H = 12  # no cell outlives the hour of its system's birth by more
WET = 0.1  # mm h-1, what a radar still reports
DRIZZLE = 0.05  # mm h-1 that evaporates before it is seen
CAP = 150.0  # mm h-1, approached by the strongest cells, as by a radar's hail cap
WIND_KMH = 40.0  # steering wind, the same everywhere, its heading drawn
GUST_KMH = 6.0  # standard deviation of the wind of a system about it
FRONT_STD = 0.4  # radians, of the long axis of a cell about its parent's, or the front's
VIGOUR_STD = 0.8  # of the logarithm of the strength that a system hands down to its descent
SHARPNESS = 1.5  # of the edge of a cell; 1 is a Gaussian
MEAN_ELONGATION = 1.6  # mean ratio of the axes of a cell, less one
LIFE_STD, RADIUS_STD = 0.3, 0.35  # of the logarithms of the life and the radius of a cell
LONGEST = 2.0  # times the median, of a life or a radius
FERTILE = 0.8  # share of its life in which a cell has daughters

WIND_STREAM, BIRTH_STREAM = 0, 8  # of random numbers


@dataclass(frozen=True)
class _Kind:
    """One scale of the rain; `count` is per km2 and hour for systems, per parent for the rest."""

    count: float
    radius_km: float
    life_h: float
    rate: float  # mm h-1, median over the cells of their peak
    spread: float  # standard deviation of the logarithm of the peak


SYSTEMS = _Kind(count=1.6e-5, radius_km=26.0, life_h=4.0, rate=0.9, spread=0.7)
SHOWERS = _Kind(count=6.0, radius_km=8.0, life_h=1.6, rate=2.8, spread=0.8)
CELLS = _Kind(count=5.0, radius_km=3.2, life_h=0.7, rate=15.0, spread=0.9)

_FIELDS = ("birth", "life", "y", "x", "v", "u", "radius", "aspect", "angle", "vigour", "peak")
_CELL = np.dtype([(name, "f8") for name in _FIELDS])  # hours, km, km h-1, radians, mm h-1


@dataclass(frozen=True)
class _Texture:
    """A Gaussian field of unit variance with a power-law spectrum."""

    stream: int  # of random numbers
    slope: float  # of the power spectral density
    outer_km: float  # longest wavelength
    life_h: float  # of that wavelength; shorter ones live shorter, as in turbulence


ROUGHNESS = _Texture(stream=2, slope=-2.9, outer_km=64.0, life_h=1.0)
ROUGHNESS_STD = 0.9  # of the logarithm of the rain rate
WARP = _Texture(stream=3, slope=-3.5, outer_km=64.0, life_h=1.0)
WARP_KM = 5.0  # standard deviation of the displacement of outlines, along y and x


def rain_field(
    *,
    times: int | npt.ArrayLike = 1,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    spacing_km: float = 1.0,
) -> xr.Dataset:
    r"""Make rain that looks like a radar's: advected cells of several scales, wet here, dry there.

    Parameters
    ----------
    times : int or array_like of datetime64, default 1
        How many times, ten minutes apart from 2024-07-01 12:00, or the times themselves.
    shape : (int, int), default (256, 256)
        Number of rows and columns.
    seed : int, default 0
        Another seed is another weather. The same seed gives the same rain at a
        time, whatever other times are asked for.
    spacing_km : float, default 1.0
        Distance between rows and between columns (km).

    Returns
    -------
    xarray.Dataset
        ``precip_rate(time, y, x)``, mm h-1, float32, on a Lambert azimuthal
        equal-area plane, with 2-D ``lat`` and ``lon``.

    Raises
    ------
    InputError
        If there is no time, no row, no column, or no distance between them.

    Notes
    -----
    The rate at place :math:`r` and time :math:`t` is

    .. math::

        R(r, t) = C\Big(\sum_i a_i \sin^2\!\big(\pi\,\tfrac{t - b_i}{\ell_i}\big)
        \exp\!\big(-\tfrac12\,\rho_i(r + w(r, t))^{3}\big)
        \; e^{\sigma g(r, t) - \sigma^2/2}\Big) - d,

    zero where it falls under 0.1 mm/h. Its parts:

    *Cells* :math:`i` of three scales: systems (26 km) are born in a Poisson process;
    each has showers (8 km), each shower has convective cells (3 km), born within their
    parent and moving with it: a Neyman-Scott process of two levels. Peaks
    :math:`a_i` and radii are log-normal, so that few cells give most of the rain;
    :math:`\rho_i` is the distance in the metric of a cell's ellipse, elongated along
    a front; a cell is born at :math:`b_i`, peaks, and dies after :math:`\ell_i`.

    *Texture*: :math:`g` and the two components of the displacement :math:`w` are
    Gaussian with power-law spectra; :math:`g` roughens the rain, :math:`w` the
    outlines of the cells. They drift with the wind, and every octave of wavelength
    renews itself in a time that shrinks as wavelength to the power 2/3.

    *Bounds*: :math:`C(z) = z / (1 + z/150)` caps the rate, :math:`d` = 0.05 mm/h evaporates.

    The world is periodic and 200 km wider than the field, of which it shows the middle.

    Measured over 64 fields of 256 x 256 km (seeds 0 to 63, first time), beside 62 tiles of
    the NOAA MRMS radar mosaic of 10 June 2019 that are at least a tenth wet:

    ================================== ========= =====
    .                                  generator radar
    ================================== ========= =====
    mean (mm/h)                            0.57   0.61
    area above 0.1 mm/h (%)                24.7   27.0
    area above 5 mm/h (%)                   2.4    1.9
    99th percentile (mm/h)                 11.3    7.9
    99.9th percentile (mm/h)               46.4   44.1
    slope of the spectrum, 3 to 16 km      -2.7   -2.6
    variance within 16 km blocks (%)         61     53
    ================================== ========= =====

    Examples
    --------
    >>> rain = rain_field(times=2, shape=(64, 96), seed=1)
    >>> dict(rain.precip_rate.sizes), rain.precip_rate.units
    ({'time': 2, 'y': 64, 'x': 96}, 'mm h-1')
    """
    _check(times, shape, spacing_km)
    when = _datetimes(times)
    hours = (when - np.datetime64(0, "ns")) / np.timedelta64(1, "h")
    world = _World(seed, shape, spacing_km)
    rain = np.stack([world.rain(float(hour)) for hour in hours])
    return _label(rain, when, spacing_km, seed)


def rain_pair(
    *,
    factor: int = 16,
    times: int | npt.ArrayLike = 1,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    spacing_km: float = 1.0,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Make rain and its block means: what a coarse model would see, and the truth.

    Parameters
    ----------
    factor : int, default 16
        Rows and columns of fine cells in a coarse cell.
    times, shape, seed, spacing_km
        Of the fine field, as for :func:`rain_field`.

    Returns
    -------
    coarse, fine : xarray.Dataset
        ``precip_rate(time, y, x)``, mm h-1, each.

    Raises
    ------
    InputError
        If `shape` is not a multiple of `factor`, or as :func:`rain_field` does.

    Examples
    --------
    >>> coarse, fine = rain_pair(times=1, shape=(64, 96))
    >>> dict(coarse.sizes)
    {'time': 1, 'y': 4, 'x': 6}
    """
    fine = rain_field(times=times, shape=shape, seed=seed, spacing_km=spacing_km)
    coarse = coarsen(fine, factor)
    coarse.precip_rate.attrs["cell_methods"] = "time: point area: mean"
    return coarse, fine


class _World:
    """A periodic world of rain around one field: its grid, its wind, the lie of its fronts."""

    def __init__(self, seed: int, shape: tuple[int, int], spacing_km: float) -> None:
        self.seed = seed
        self.spacing = spacing_km
        self.margin = math.ceil(MARGIN_KM / spacing_km)
        self.shape = (shape[0] + 2 * self.margin, shape[1] + 2 * self.margin)
        rng = self.rng(WIND_STREAM)
        heading, front = rng.uniform(0, 2 * np.pi, 2)
        self.wind = WIND_KMH * np.array([np.sin(heading), np.cos(heading)])  # along y, x
        self.front = front

    def rng(self, *stream: int) -> np.random.Generator:
        """Return the generator of one stream of this seed; streams know nothing of each other."""
        words = [number % 2**32 for number in (self.seed, *stream)]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))

    def rain(self, hour: float) -> np.ndarray:
        """Return the rain rate (mm h-1) of the field at an hour since 1970, float32 (y, x)."""
        warp = WARP_KM * self.texture(WARP, hour)
        total = np.zeros(self.shape)
        for cell in self.alive(hour):
            self.add(cell, total, warp, hour)
        roughness = ROUGHNESS_STD * self.texture(ROUGHNESS, hour).real
        rate = total * np.exp(roughness - ROUGHNESS_STD**2 / 2)
        rate = rate / (1 + rate / CAP) - DRIZZLE
        inside = slice(self.margin, -self.margin)
        return np.where(rate < WET, 0, rate)[inside, inside].astype("f4")

    def alive(self, hour: float) -> np.ndarray:
        """Return the cells (of dtype `_CELL`) that rain at an hour."""
        now = math.floor(hour)
        born = np.concatenate([self.births(start) for start in range(now - MEMORY_H, now + 1)])
        age = hour - born["birth"]
        return born[(age > 0) & (age < born["life"])]

    def births(self, start: int) -> np.ndarray:
        """Return the systems born in the hour from `start` on, with all their descent."""
        rng = self.rng(BIRTH_STREAM, start)
        extent = np.array(self.shape)[:, None] * self.spacing
        count = rng.poisson(SYSTEMS.count * extent.prod())
        systems = np.zeros(count, _CELL)
        systems["birth"] = start + rng.uniform(size=count)
        systems["y"], systems["x"] = extent * rng.uniform(size=(2, count))
        systems["v"], systems["u"] = self.wind[:, None] + GUST_KMH * rng.normal(size=(2, count))
        systems["angle"] = self.front + FRONT_STD * rng.normal(size=count)
        systems["vigour"] = np.exp(VIGOUR_STD * rng.normal(size=count))
        _grow(rng, systems, SYSTEMS)
        showers = _descend(rng, systems, SHOWERS)
        return np.concatenate([systems, showers, _descend(rng, showers, CELLS)])

    def add(self, cell: np.void, total: np.ndarray, warp: np.ndarray, hour: float) -> None:
        """Add the rain of one cell to `total`, up to three radii and the warp from its centre."""
        age = hour - cell["birth"]
        y, x = cell["y"] + cell["v"] * age, cell["x"] + cell["u"] * age
        along, across = cell["radius"] * np.sqrt(cell["aspect"]) ** np.array([1, -1])
        reach = 3 * along + 2 * WARP_KM
        rows = _window(y / self.spacing, reach / self.spacing, self.shape[0])
        columns = _window(x / self.spacing, reach / self.spacing, self.shape[1])
        here = np.ix_(rows % self.shape[0], columns % self.shape[1])
        dy = rows[:, None] * self.spacing - y + warp[here].real
        dx = columns * self.spacing - x + warp[here].imag
        sine, cosine = np.sin(cell["angle"]), np.cos(cell["angle"])
        long, short = (dx * cosine + dy * sine) / along, (dy * cosine - dx * sine) / across
        strength = cell["peak"] * np.sin(np.pi * age / cell["life"]) ** 2
        total[here] += strength * np.exp(-0.5 * (long**2 + short**2) ** SHARPNESS)

    def texture(self, kind: _Texture, hour: float) -> np.ndarray:
        """Return two independent textures at an hour, as real and imaginary part of (y, x)."""
        ky = np.fft.fftfreq(self.shape[0], self.spacing)[:, None]  # cycles per km
        kx = np.fft.fftfreq(self.shape[1], self.spacing)
        k = np.hypot(ky, kx)
        k[0, 0] = 0.5 / kind.outer_km  # the mean has no texture
        octave = np.floor(np.log2(k * kind.outer_km)).astype(int)
        spectrum = np.zeros(k.shape, complex)
        for number in range(octave.max() + 1):
            band = octave == number
            spectrum[band] = self.noise(kind, number, hour, int(band.sum()))
        amplitude = np.where(octave < 0, 0, k ** (kind.slope / 2))
        drift = np.exp(-2j * np.pi * hour * (ky * self.wind[0] + kx * self.wind[1]))
        variance = (amplitude**2).sum() / amplitude.size**2
        return np.fft.ifft2(spectrum * amplitude * drift) / np.sqrt(variance)

    def noise(self, kind: _Texture, octave: int, hour: float, count: int) -> np.ndarray:
        """Return complex noise that turns into its successor once in the life of its octave."""
        turns = hour / (kind.life_h * 2 ** (-octave * 2 / 3))
        turn = math.floor(turns)
        angle = np.pi / 2 * (turns - turn)
        old, new = (
            self.rng(kind.stream, octave, turn + late).normal(size=(2, count)) for late in (0, 1)
        )
        real, imaginary = np.cos(angle) * old + np.sin(angle) * new
        return real + 1j * imaginary


def _window(centre: float, reach: float, size: int) -> np.ndarray:
    """Return the indices around a place on a circle of `size`, none of them twice."""
    half = min(math.ceil(reach), (size - 1) // 2)
    return math.floor(centre) + np.arange(-half, half + 1)


def _descend(rng: np.random.Generator, parents: np.ndarray, kind: _Kind) -> np.ndarray:
    """Give every parent its daughters: within its ellipse and its life, moving with it."""
    cells = np.repeat(parents, rng.poisson(kind.count, len(parents)))
    age = rng.uniform(0, FERTILE, len(cells)) * cells["life"]
    along, across = rng.normal(size=(2, len(cells))) * cells["radius"]
    along, across = along * np.sqrt(cells["aspect"]), across / np.sqrt(cells["aspect"])
    sine, cosine = np.sin(cells["angle"]), np.cos(cells["angle"])
    cells["y"] += cells["v"] * age + along * sine + across * cosine
    cells["x"] += cells["u"] * age + along * cosine - across * sine
    cells["birth"] += age
    cells["angle"] += FRONT_STD * rng.normal(size=len(cells))
    _grow(rng, cells, kind)
    return cells


def _grow(rng: np.random.Generator, cells: np.ndarray, kind: _Kind) -> None:
    """Draw the size, the life and the strength of new cells, in place."""
    spread = np.array([LIFE_STD, RADIUS_STD, kind.spread])[:, None]
    life, radius, peak = np.exp(spread * rng.normal(size=(3, len(cells))))
    cells["life"] = kind.life_h * np.minimum(life, LONGEST)
    cells["radius"] = kind.radius_km * np.minimum(radius, LONGEST)
    cells["aspect"] = 1 + rng.gamma(2, MEAN_ELONGATION / 2, len(cells))
    cells["peak"] = kind.rate * cells["vigour"] * peak


def _check(times: int | npt.ArrayLike, shape: tuple[int, int], spacing_km: float) -> None:
    problems = []
    if (isinstance(times, int | np.integer) and times < 1) or not np.size(times):
        problems.append(f"there is no time in times={times!r}; type times=1")
    sizes = list(shape)
    if len(sizes) != 2 or min(sizes) < 1:
        problems.append(f"shape={shape!r} is not two positive numbers; type shape=(256, 256)")
    if not spacing_km > 0:
        problems.append(f"spacing_km={spacing_km!r} is not positive; type spacing_km=1.0")
    raise_problems(problems, what="make rain")


def _datetimes(times: int | npt.ArrayLike) -> np.ndarray:
    if isinstance(times, int | np.integer):
        return FIRST_TIME + TIME_STEP * np.arange(times)
    return np.atleast_1d(np.asarray(times, dtype="datetime64[ns]"))


def _label(rain: np.ndarray, when: np.ndarray, spacing_km: float, seed: int) -> xr.Dataset:
    """Wrap (time, y, x) in a Dataset with CF coordinates on a plane around `CENTRE`."""
    from pyproj import CRS, Transformer

    crs = CRS.from_dict({"proj": "laea", "lat_0": CENTRE[0], "lon_0": CENTRE[1], "datum": "WGS84"})
    y, x = (1000 * spacing_km * (np.arange(n) - (n - 1) / 2) for n in rain.shape[1:])
    to_globe = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    lon, lat = to_globe.transform(*np.meshgrid(x, y))
    coords = {
        "time": ("time", when, {"standard_name": "time", "axis": "T"}),
        "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m", "axis": "Y"}),
        "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m", "axis": "X"}),
        "lat": (("y", "x"), lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": (("y", "x"), lon, {"standard_name": "longitude", "units": "degrees_east"}),
        "crs": ((), 0, crs.to_cf()),
    }
    attrs = {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "precipitation rate",
        "units": "mm h-1",
        "cell_methods": "time: point",
        "grid_mapping": "crs",
    }
    return xr.Dataset(
        {"precip_rate": (("time", "y", "x"), rain, attrs)},
        coords,
        {
            "Conventions": "CF-1.11",
            "title": "Rain made by a stochastic generator",
            "source": f"xresdiff.tutorial.rain_field, seed {seed}",
        },
    )

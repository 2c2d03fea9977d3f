"""Where the sun stands, for networks that are told.

The low-precision sun of Meeus (1991, Astronomical Algorithms, chapter 24), good to 0.01 degrees,
with the obliquity of the ecliptic of the Astronomical Almanac (2010) and Greenwich mean sidereal
time as the IAU defined it in 1982 (Aoki et al., Astronomy and Astrophysics 105).
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["cos_zenith", "hour_of_day"]

HOUR_s = 3600
DAY_s = 24 * HOUR_s
J2000_s = 946_728_000.0  # 2000-01-01 12:00 UTC, in seconds since 1970
CENTURY_s = 36_525.0 * DAY_s


def cos_zenith(
    seconds: NDArray[np.float64], lat: NDArray[np.floating], lon: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return the cosine of the angle between the sun and the zenith, negative at night.

    Parameters
    ----------
    seconds : numpy.ndarray, (t,)
        Times, in seconds since 1970 (UTC).
    lat, lon : numpy.ndarray, (y, x)
        Places (degrees north and east).

    Returns
    -------
    numpy.ndarray, (t, y, x)
        From -1 to 1, float32. Neither the size of the sun nor the air is taken into account.

    Examples
    --------
    >>> noon = np.array([953_553_600.0])  # 2000-03-20T12
    >>> lat, lon = np.meshgrid([0.0, 60.0], [0.0, 180.0], indexing="ij")
    >>> cos_zenith(noon, lat, lon)
    array([[[ 0.999..., -0.999...],
            [ 0.50...,  -0.498...]]], dtype=float32)
    """
    phi, lam = np.deg2rad(lat, dtype=np.float64), np.deg2rad(lon, dtype=np.float64)
    up = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    return np.tensordot(_to_the_sun(seconds).astype(np.float32), up.astype(np.float32), axes=1)


def hour_of_day(seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the whole hours since midnight (UTC) at times in seconds since 1970, ``(t,)``.

    Examples
    --------
    >>> hour_of_day(np.array([0.0, 7_199.0, 90_000.0]))
    array([0., 1., 1.], dtype=float32)
    """
    return (np.asarray(seconds) % DAY_s // HOUR_s).astype(np.float32)


def _to_the_sun(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors towards the sun, (t, 3): the axes turn with the Earth, x to 0 N 0 E."""
    t = (np.asarray(seconds, np.float64) - J2000_s) / CENTURY_s
    longitude, tilt, turn = _ecliptic_longitude(t), _obliquity(t), _sidereal_time(t)
    x = np.cos(longitude)
    y = np.cos(tilt) * np.sin(longitude)
    z = np.sin(tilt) * np.sin(longitude)
    east = y * np.cos(turn) - x * np.sin(turn)
    return np.stack([x * np.cos(turn) + y * np.sin(turn), east, z], axis=-1)


def _ecliptic_longitude(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the longitude of the sun (radians) at `t` centuries from 2000."""
    anomaly = np.deg2rad(357.52910 + t * (35999.05030 - t * (0.0001559 + t * 0.00000048)))
    centre = (1.914600 - t * (0.004817 + t * 0.000014)) * np.sin(anomaly)
    centre += (0.019993 - t * 0.000101) * np.sin(2 * anomaly) + 0.000290 * np.sin(3 * anomaly)
    return np.deg2rad(280.46645 + t * (36000.76983 + t * 0.0003032) + centre)


def _obliquity(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the tilt of the Earth's axis (radians)."""
    arcseconds = np.polynomial.polynomial.polyval(
        t, [84381.406, -46.836769, -0.0001831, 0.00200340, -0.576e-6, -4.34e-8]
    )
    return np.deg2rad(arcseconds / 3600)


def _sidereal_time(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by what angle (radians) the Earth has turned under the stars."""
    daily = 876_600 * 3600 * t  # seconds of time: a turn a day
    seconds = 67310.54841 + daily + t * (8640184.812866 + t * (0.093104 - t * 6.2e-6))
    return np.deg2rad(seconds / 240 % 360)

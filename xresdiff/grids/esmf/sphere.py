"""Points on the unit sphere, as ESMF places them."""

import numpy as np

__all__ = ["sphere_points"]


def sphere_points(lon_deg: np.ndarray, lat_deg: np.ndarray) -> np.ndarray:
    """Return the unit vectors of places on the sphere.

    The expressions are ESMF's to the last bit: which of two sources at the same distance is the
    nearest is decided by their rounding.

    Parameters
    ----------
    lon_deg, lat_deg : numpy.ndarray, (...)
        Longitude, of any turn, and latitude in degrees. NaN gives NaN.

    Returns
    -------
    numpy.ndarray, (..., 3)
        x, y, z in float64.

    Examples
    --------
    >>> sphere_points(np.array([0.0, 90.0]), np.array([90.0, 0.0])).round(12)
    array([[0., 0., 1.],
           [0., 1., 0.]])
    """
    phi = np.asarray(lon_deg, np.float64) * (np.pi / 180)
    theta = (90 - np.asarray(lat_deg, np.float64)) * (np.pi / 180)
    out = np.empty((*np.broadcast_shapes(phi.shape, theta.shape), 3))
    with np.errstate(invalid="ignore"):  # infinite coordinates, which become NaN
        out[..., 0] = np.cos(phi) * np.sin(theta)
        out[..., 1] = np.sin(phi) * np.sin(theta)
        out[..., 2] = np.cos(theta)
    return out

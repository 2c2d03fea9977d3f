"""Grids and polygons on the sphere to test with; angles in degrees, areas in steradian."""

import numpy as np
from hypothesis import strategies as st

from xresdiff.grids.esmf.conservative import cell_areas

#: A generator of random numbers for a test with :func:`hypothesis.given`.
seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def sums(index, area, corners):
    """Sum of the overlaps of each cell, and its area."""
    areas = cell_areas(corners).ravel()
    return np.bincount(index, area, minlength=areas.size), areas


def global_grid(rng):
    """Corners of a grid that covers the globe: even or not, either way up, from anywhere."""
    nx, ny = rng.integers(4, 30), rng.integers(2, 20)
    steps = rng.uniform(0.5, 1.5, nx) if rng.random() < 0.5 else np.ones(nx)
    lon = np.r_[0, np.cumsum(steps)] / steps.sum() * 360 + rng.choice([0, -180, 77.7, 400])
    inner = rng.uniform(-90, 90, ny - 1) if rng.random() < 0.5 else np.linspace(-80, 80, ny - 1)
    lat = np.r_[-90, np.sort(inner), 90]
    return np.meshgrid(lon[:: rng.choice([1, -1])], lat[:: rng.choice([1, -1])])


def local_grid(rng, spacing, cells, wiggle):
    """Corners of a grid around (0, 0), each moved by up to `wiggle` of a cell."""
    edges = (np.arange(cells + 1) - cells / 2) * spacing
    moves = rng.uniform(-wiggle, wiggle, (2, cells + 1, cells + 1)) * spacing
    return tuple(np.array(np.meshgrid(edges, edges)) + moves)


def rotation(rng):
    """Return a random matrix of a rotation, or of one with a reflection."""
    return np.linalg.qr(rng.normal(size=(3, 3)))[0]


def vectors(corners):
    lon, lat = np.radians(corners[0]), np.radians(corners[1])
    return np.stack([np.cos(lon) * np.cos(lat), np.sin(lon) * np.cos(lat), np.sin(lat)], axis=-1)


def rotated(corners, matrix):
    x, y, z = np.moveaxis(vectors(corners) @ matrix.T, -1, 0)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))


def spun(corners, angle):
    """Turn a grid around (0, 0)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return rotated(corners, np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]))


def star(rng, corners):
    """Outline of a star-shaped polygon around a place near (0, 0), in degrees."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners - 3))
    angles = np.sort(np.r_[angles, np.array([0.1, 2.2, 4.3])])
    radius = rng.uniform(1, 6, corners)
    outline = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    return outline + rng.uniform(-2, 2, 2)

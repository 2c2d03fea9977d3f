"""Grids of packages, in words."""

import numpy as np
import pytest

from xresdiff.models.published.package_grids import Target


def polar(sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of 25 km around a pole."""
    y, x = np.mgrid[-24:24, -24:24] * 25.0 + 12.5
    return sign * (90 - np.rad2deg(np.hypot(x, y) / 6371)), np.rad2deg(np.arctan2(x, -y))


@pytest.mark.parametrize(
    ("grid", "region"),
    [
        (polar(1.0), "around the north pole, north of 82.5 °N"),
        (polar(-1.0), "around the south pole, south of 82.5 °S"),
        ((np.arange(3.0), np.array([179.0, -180.0, -179.0])), "0 to 2 °N, 179 to 181 °E"),
        ((np.arange(3.0), np.array([358.0, 359.0, 360.0, 361.0])), "0 to 2 °N, -2 to 1 °E"),
        ((np.arange(3.0), np.array([-182.0, -181.0])), "0 to 2 °N, 178 to 179 °E"),
        ((np.arange(3.0), np.arange(0.0, 360.0, 5.0)), "0 to 2 °N, 0 to 355 °E"),
    ],
)
def test_a_region_is_told_in_words(grid: tuple[np.ndarray, np.ndarray], region: str) -> None:
    assert Target(*grid).region == region

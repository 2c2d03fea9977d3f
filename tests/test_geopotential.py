"""Geopotential is told from height by its size at a pressure level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xresdiff.grids.units import geopotential_problem
from xresdiff.grids.units.geopotential import G, looks_like, standard_height_m


@pytest.mark.parametrize(
    ("hPa", "m"), [(850, 1457.0), (500, 5574.0), (250, 10363.0), (100, 16180.0), (10, 31055.0)]
)
def test_standard_atmosphere(hPa, m):
    # Heights of the ICAO Standard Atmosphere (Doc 7488).
    assert standard_height_m(hPa * 100.0) == pytest.approx(m, abs=2.0)


@given(st.floats(100.0, 89000.0), st.floats(0.4, 2.5))
def test_geopotential_is_known_by_its_size(level_Pa, spread):
    height = np.full((2, 3), standard_height_m(level_Pa) * spread)
    height[0, 0] = np.nan
    assert looks_like(height, level_Pa) == "height"
    assert looks_like(height * G, level_Pa) == "geopotential"
    assert looks_like(height * G * G, level_Pa) is None
    for units, right, wrong in (("m2 s-2", height * G, height), ("gpm", height, height * G)):
        assert geopotential_problem(right, units=units, level_Pa=level_Pa) is None
        problem = geopotential_problem(wrong, units=units, level_Pa=level_Pa, name="phi")
        assert "ds['phi'] = (ds['phi'] " in problem
        assert "9.80665" in problem


@pytest.mark.parametrize(
    ("values", "units", "level_Pa"),
    [
        ([100.0], "m2 s-2", 100000.0),  # weather moves heights by more near the ground
        ([5500.0], "K", 50000.0),
        ([np.nan], "m2 s-2", 50000.0),
        ([], "m2 s-2", 50000.0),
        ([0.5], "m2 s-2", 50000.0),
    ],
)
def test_nothing_is_said_of_the_size_of_other_things(values, units, level_Pa):
    assert geopotential_problem(np.array(values), units=units, level_Pa=level_Pa) is None

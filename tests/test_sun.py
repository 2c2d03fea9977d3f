"""The sun stands where astronomy has it, and where PhysicsNeMo has it."""

import numpy as np
import pytest

from xresdiff.engine.sun import cos_zenith, hour_of_day

LAT, LON = np.meshgrid([-77.3, 0.0, 23.4, 51.5], [0.0, 121.0, 287.25], indexing="ij")

# physicsnemo.utils.zenith_angle.cos_zenith_angle of PhysicsNeMo 2.2.2 at these places
PEER = {
    "1981-02-28T00:00": [
        [-0.08030966, 0.23862698, 0.08408501],
        [-0.98856754, 0.46215902, -0.2407961],
        [-0.96304565, 0.3683654, -0.27677494],
        [-0.72532254, 0.17777602, -0.25982386],
    ],
    "2000-06-21T12:30": [
        [-0.1878453, -0.51231261, -0.30507608],
        [0.91058034, -0.56530319, 0.37734026],
        [0.99366062, -0.36083836, 0.50427706],
        [0.87814324, -0.0406159, 0.54619348],
    ],
    "2037-09-06T17:00": [
        [-0.04904796, -0.31361964, 0.11438037],
        [0.24982611, -0.95361407, 0.99320203],
        [0.2716066, -0.83285622, 0.95384331],
        [0.23892982, -0.51022934, 0.70169224],
    ],
}


def since_1970(*times: str) -> np.ndarray:
    return np.array(times, "M8[s]").astype(np.float64)


def test_physicsnemo_says_the_same():
    ours = cos_zenith(since_1970(*PEER), LAT, LON)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, list(PEER.values()), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("time", "lat", "expected"),
    [
        ("2000-03-20T07:35", 90.0, 0.0),  # the equinox: the sun is on the horizon of the pole
        ("2000-09-22T17:28", -90.0, 0.0),
        ("2000-06-21T01:48", 90.0, np.sin(np.deg2rad(23.4393))),  # the solstice: the Earth's tilt
        ("2000-12-21T13:37", 90.0, -np.sin(np.deg2rad(23.4393))),
    ],
)
def test_equinoxes_and_solstices(time, lat, expected):
    assert cos_zenith(since_1970(time), np.array([[lat]]), np.zeros((1, 1))).item() == (
        pytest.approx(expected, abs=2e-4)
    )


def test_at_noon_of_the_equinox_the_equation_of_time_is_left():
    minutes = 7.4  # by which the sun is late on 20 March
    noon = cos_zenith(since_1970("2000-03-20T12:00"), np.zeros((1, 1)), np.zeros((1, 1))).item()
    assert noon == pytest.approx(np.cos(np.deg2rad(minutes / 4)), abs=1e-5)


def test_it_is_night_on_the_other_side_of_the_earth():
    times = since_1970("2024-07-01T05:00", "1850-01-01T00:00", "2100-12-31T23:00")
    there = cos_zenith(times, -LAT, LON + 180)
    np.testing.assert_allclose(there, -cos_zenith(times, LAT, LON), atol=3e-7)


def test_hours_are_whole():
    assert hour_of_day(since_1970("2024-07-01T05:59:59", "1950-01-01T23:00")).tolist() == [5, 23]

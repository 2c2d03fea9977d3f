"""Noise depends on what it is for and where it lies, on nothing else."""

import hashlib

import cftime
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.engine.noise import label_of, normal_field
from xresdiff.errors import InputError

LABELS = ("2019-06-10T00:00:00",)
ORIGIN, SHAPE = (-90, -150), (2, 300, 320)


@pytest.fixture(scope="module")
def whole():
    return normal_field(7, LABELS, 3, 0, SHAPE, ORIGIN)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_window_is_part_of_the_whole(whole, data):
    y, x = (data.draw(st.integers(0, n)) for n in SHAPE[1:])
    height, width = (
        data.draw(st.integers(0, n - i)) for n, i in zip(SHAPE[1:], (y, x), strict=True)
    )
    channels = data.draw(st.integers(0, 2))
    window = normal_field(
        7, LABELS, 3, 0, (channels, height, width), (y + ORIGIN[0], x + ORIGIN[1])
    )
    np.testing.assert_array_equal(window, whole[:channels, y : y + height, x : x + width])


def test_the_numbers_never_change():
    field = normal_field(0, LABELS, 0, 0, (2, 100, 130), (-30, -70))
    digest = hashlib.sha256(field.astype("<f4").tobytes()).hexdigest()
    assert digest == "2deec1cd37be719286c9d0f9483a7e21ca51546c99621e3c1854a6ae639ebf18"
    np.testing.assert_array_equal(
        field[0, 0, :4], np.float32([1.0437183, 0.5153278, -0.6986541, -0.1626052])
    )


def test_numbers_are_standard_normal(whole):
    from scipy.stats import kstest, kurtosis

    assert whole.dtype == np.float32
    n = whole.size
    assert abs(whole.mean(dtype=float)) < 4 / np.sqrt(n)
    assert abs(whole.var(dtype=float) - 1) < 4 * np.sqrt(2 / n)
    assert abs(kurtosis(whole.ravel().astype(float))) < 4 * np.sqrt(24 / n)
    assert kstest(whole.ravel(), "norm").pvalue > 0.01


def test_neighbours_are_independent(whole):
    field, bound = whole[0].astype(float), 4 / np.sqrt(whole[0].size)
    for moved in (field[:, 1:] * field[:, :-1], field[1:] * field[:-1]):
        assert abs(moved.mean()) < bound
    # from tile to tile too
    for moved in (field[:, 64:] * field[:, :-64], field[64:] * field[:-64]):
        assert abs(moved.mean()) < 1.3 * bound
    assert abs((whole[0] * whole[1]).mean()) < bound


@pytest.mark.parametrize(
    "other",
    [
        (1, LABELS, 0, 0),
        (0, ("2019-06-10T00:04:00",), 0, 0),
        (0, (), 0, 0),
        (0, (*LABELS, "0"), 0, 0),
        (0, LABELS, 1, 0),
        (0, LABELS, 0, 1),
        (-1, LABELS, 0, 0),
        (2**70, LABELS, 0, 0),
    ],
)
def test_what_the_noise_is_for_makes_it_independent(other):
    a = normal_field(0, LABELS, 0, 0, (1, 128, 128))
    b = normal_field(*other, (1, 128, 128))
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / 128


def test_labels_do_not_run_together():
    assert (
        normal_field(0, ("a", "b"), 0, 0, (1, 2, 2)) != normal_field(0, ("ab",), 0, 0, (1, 2, 2))
    ).all()


def test_numpy_integers_are_integers():
    a = normal_field(0, LABELS, 5, 0, (1, 2, 2))
    np.testing.assert_array_equal(a, normal_field(np.int64(0), LABELS, np.int32(5), 0, (1, 2, 2)))
    with pytest.raises(TypeError):
        normal_field(0.5, LABELS, 5, 0, (1, 2, 2))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_instant_has_one_label_in_any_resolution(unit):
    time = np.datetime64("2019-06-10T00:04:00", unit)
    assert label_of(time) == "2019-06-10T00:04:00"
    assert label_of(np.timedelta64(90, "m").astype(f"timedelta64[{unit}]")) == "5400000000000 ns"


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (np.datetime64("2019-06-10"), "2019-06-10T00:00:00"),
        (np.datetime64("2019-06"), "2019-06-01T00:00:00"),
        (np.datetime64("3000-01-01T00:00:00.250", "ms"), "3000-01-01T00:00:00.25"),
        (np.datetime64("NaT"), "NaT"),
        (np.timedelta64("NaT", "s"), "NaT"),
        (np.timedelta64(3650000, "D"), "315360000000000000000 ns"),
        (pd.Timestamp("2019-06-10 00:00:00.000000001"), "2019-06-10T00:00:00.000000001"),
        (pd.Timedelta("1s"), "1000000000 ns"),
        (cftime.DatetimeNoLeap(2019, 2, 28, 6), "2019-02-28T06:00:00 noleap"),
        (cftime.Datetime360Day(2019, 2, 30), "2019-02-30T00:00:00 360_day"),
        (np.array(np.datetime64("2019-06-10T00", "h")), "2019-06-10T00:00:00"),
        (3, "3"),
        (np.int8(-3), "-3"),
        (3.0, "3"),
        (np.float32(0.1), "0.1"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (1e22, str(10**22)),
        (True, "True"),
        ("r1i1p1f1", "r1i1p1f1"),
        (np.str_("r1i1p1f1"), "r1i1p1f1"),
        ((np.datetime64("2019-06-10"), 3), '["2019-06-10T00:00:00", "3"]'),
    ],
)
def test_labels(value, label):
    assert label_of(value) == label


@pytest.mark.parametrize("value", [None, b"bytes", np.timedelta64(1, "M"), 1j, [1, 2]])
def test_values_without_a_canonical_text_are_refused(value):
    with pytest.raises(InputError, match="cannot label noise"):
        label_of(value)

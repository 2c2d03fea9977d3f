from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.toys import PRECIP_RATE, toy_card
from xresdiff.engine.fields import encoded
from xresdiff.models.card import Channel, Transform
from xresdiff.nets.transforms import refine
from xresdiff.train import survey as module
from xresdiff.train.patches import coarsen_blocks
from xresdiff.train.readers import ArrayReader
from xresdiff.train.survey import Survey, survey, unit_problems

FACTOR = 4
T2M = Channel("t2m", "air_temperature", "K")


def rain(n=6, shape=(3, 4), seed=0):
    rng = np.random.default_rng(seed)
    fine = rng.gamma(0.3, size=(n, 1, shape[0] * FACTOR, shape[1] * FACTOR)).astype(np.float32)
    fine[fine < 0.05] = 0
    return fine


def found_of(fine, coarse=None, card=None, factor=FACTOR):
    coarse = coarsen_blocks(fine, factor) if coarse is None else coarse
    reader = ArrayReader(coarse, fine, np.zeros((len(fine), 2)), factor)
    return survey(reader, card or toy_card())


# --- values


def test_values_are_measured():
    fine = rain()
    fine[0, 0, :3] = np.nan
    known = fine[np.isfinite(fine)].astype(np.float64)
    (values,) = found_of(fine).outputs
    assert values.count == known.size
    assert values.mean == pytest.approx(known.mean())
    assert values.std == pytest.approx(known.std())
    seen = np.log1p(known / 0.1)  # the transform of the channel
    assert values.bent_mean == pytest.approx(seen.mean())
    assert values.bent_std == pytest.approx(seen.std())
    assert (values.minimum, values.maximum) == (known.min(), known.max())
    assert values.zeros == pytest.approx((known == 0).mean())
    assert values.missing == pytest.approx(1 - known.size / fine.size)


def test_inputs_are_measured():
    coarse = rain(shape=(3, 4))[..., :3, :4]
    (values,) = found_of(rain(), coarse).inputs
    assert values.mean == pytest.approx(coarse.mean(dtype=np.float64))
    assert values.count == coarse.size


@pytest.mark.parametrize(
    "transform",
    [
        Transform("log1p", scale=0.1),
        Transform("sqrt", scale=3.0),
        Transform("power", scale=0.5, exponent=0.25),
    ],
    ids=lambda transform: transform.name,
)
def test_channels_are_measured_as_the_networks_will_see_them(transform):
    own = replace(PRECIP_RATE, transform=transform, mean=0.0, std=1.0)
    card = toy_card(inputs=(own,), outputs=(own,))
    fine = rain()
    coarse = coarsen_blocks(fine, FACTOR)
    found = found_of(fine, card=card)
    for values, fields in ((found.outputs[0], fine), (found.inputs[0], coarse)):
        seen = encoded(torch.from_numpy(fields.astype("f8")), (own,)).numpy()
        assert values.bent_mean == pytest.approx(seen.mean(), rel=1e-6)
        assert values.bent_std == pytest.approx(seen.std(), rel=1e-6)
    base = refine(torch.from_numpy(coarse), FACTOR, "bilinear").double()
    apart = encoded(torch.from_numpy(fine.astype("f8")), (own,)) - encoded(base, (own,))
    assert found.twins[0].bent_error == pytest.approx(apart.square().mean().item(), rel=1e-5)


def test_input_and_output_may_have_transforms_of_their_own():
    given = replace(PRECIP_RATE, transform=Transform("sqrt"))
    found = found_of(rain(), card=toy_card(inputs=(given,)))
    coarse = coarsen_blocks(rain(), FACTOR).astype("f8")
    assert found.inputs[0].bent_mean == pytest.approx(np.sqrt(coarse).mean())
    assert found.outputs[0].bent_mean == pytest.approx(np.log1p(rain() / 0.1).mean(), rel=1e-6)


def test_values_below_zero_count_as_zero_under_the_root():
    fine = rain() - 1
    card = toy_card(inputs=(T2M,), outputs=(T2M,), conserve=())
    (values,) = found_of(fine, card=card).outputs
    assert values.bent_mean == pytest.approx(np.cbrt(fine.clip(0)).mean(dtype=np.float64))
    assert values.minimum == -1


@given(offset=st.floats(-1e5, 1e5), seed=st.integers(0, 50))
def test_a_large_mean_does_not_spoil_the_standard_deviation(offset, seed):
    fine = (rain(seed=seed) + np.float32(offset)).astype(np.float32)
    (values,) = found_of(fine).outputs
    assert values.std == pytest.approx(fine.astype(np.float64).std(), rel=1e-9)


def test_a_channel_without_values_is_known_to_have_none():
    (values,) = found_of(rain() * np.nan).outputs
    assert (values.count, values.missing) == (0, 1)
    assert np.isnan([values.mean, values.std, values.minimum]).all()


def test_pairs_without_a_target_or_an_input_are_named():
    fine, coarse = rain(), coarsen_blocks(rain(), FACTOR)
    fine[2] = np.nan
    coarse[4] = np.nan
    fine[5, :, 1:] = np.nan
    assert found_of(fine, coarse).empty == (2, 4)


TWO_INPUTS = {"inputs": (PRECIP_RATE, T2M)}


def two_inputs(n=3):
    """Return two inputs and the rain of one of them, all of it known."""
    fine = rain(n)
    return np.repeat(coarsen_blocks(fine, FACTOR), 2, axis=1), fine


def test_a_pair_of_which_one_input_is_missing_is_empty():
    coarse, fine = two_inputs()
    coarse[1, 1] = np.nan
    assert found_of(fine, coarse, toy_card(**TWO_INPUTS)).empty == (1,)


def test_a_target_that_is_known_only_where_an_input_is_not_is_empty():
    coarse, fine = two_inputs()
    coarse[2, 0, 1:] = np.nan
    fine[2, :, :FACTOR] = np.nan
    assert found_of(fine, coarse, toy_card(**TWO_INPUTS)).empty == (2,)


def test_it_is_counted_what_is_learned_from_and_what_each_input_costs():
    coarse, fine = two_inputs(2)  # of 3 x 4 cells
    fine[0, 0, :FACTOR] = np.nan  # a row of cells
    coarse[0, 0, :2] = np.nan  # that row and another
    coarse[1, :, 0, 0] = np.nan  # a cell of both
    found = found_of(fine, coarse, toy_card(**TWO_INPUTS))
    assert found.counted == pytest.approx((4 + 11) / 24)
    assert found.costs == pytest.approx((4 / 24, 0))


def test_of_many_pairs_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 3)
    fine = np.arange(9, dtype=np.float32)[:, None, None, None] * np.ones((9, 1, 4, 4), np.float32)
    found = found_of(fine)
    assert found.pairs == 9
    assert found.outputs[0].count == 3 * 16
    assert (found.outputs[0].minimum, found.outputs[0].maximum) == (0, 8)


def test_threads_do_not_change_a_bit(monkeypatch):
    fine = rain(n=40)
    several = found_of(fine)
    monkeypatch.setattr(module, "MOST_THREADS", 1)
    assert found_of(fine) == several


# --- outputs that are inputs


def test_the_way_from_the_input_is_that_of_the_global_residual():
    fine = rain()
    coarse = coarsen_blocks(fine, FACTOR)
    (twin,) = found_of(fine).twins
    base = refine(torch.from_numpy(coarse), FACTOR, "bilinear").numpy().astype(np.float64)
    assert twin.error == pytest.approx(np.square(fine - base).mean(), rel=1e-6)
    assert twin.variance == pytest.approx(fine.astype(np.float64).var())
    own = replace(PRECIP_RATE, mean=0.0, std=1.0)
    bent = [encoded(torch.from_numpy(a.astype("f8")), (own,)).numpy() for a in (fine, base)]
    assert twin.bent_error == pytest.approx(np.square(bent[0] - bent[1]).mean(), rel=1e-5)
    assert twin.bent_variance == pytest.approx(bent[0].var(), rel=1e-6)
    assert twin.coarse_mean == pytest.approx(base.mean(), rel=1e-6)
    assert twin.fine_mean == pytest.approx(fine.mean(dtype=np.float64))


def test_missing_values_of_either_side_do_not_count():
    fine = rain()
    coarse = coarsen_blocks(fine, FACTOR)
    spoiled = fine.copy()
    spoiled[0, 0, :4, :4] = 1e6  # of a cell that is missing
    coarse[0, 0, 0, 0] = np.nan
    spoiled[1, 0, 5, 5] = np.nan
    (twin,) = found_of(spoiled, coarse).twins
    assert twin.fine_mean < 1
    assert twin.error < 10


def test_an_output_that_is_no_input_has_no_twin():
    card = toy_card(
        inputs=(T2M, PRECIP_RATE), outputs=(PRECIP_RATE,), conserve=(), global_residual=False
    )
    coarse = np.concatenate([280 + rain()[..., ::4, ::4], coarsen_blocks(rain(), FACTOR)], axis=1)
    (twin,) = found_of(rain(), coarse, card).twins
    assert (twin.output, twin.input) == (0, 1)
    other = replace(card, inputs=(T2M,))
    assert found_of(rain(), coarse[:, :1], other).twins == ()


def test_block_means_are_compared_with_their_cells():
    fine = rain()
    coarse = coarsen_blocks(fine, FACTOR)
    assert found_of(fine, coarse).twins[0].blocks == pytest.approx(0, abs=1e-6)
    assert found_of(fine, 1.25 * coarse).twins[0].blocks == pytest.approx(0.2, rel=1e-5)


def test_dry_blocks_and_blocks_that_are_not_whole_tell_nothing():
    fine = rain()
    coarse = coarsen_blocks(fine, FACTOR)
    fine[1:] = 0
    coarse[1:] = 0
    fine[0, 0, 0, 0] = np.nan
    coarse[0, 0, 0, 0] = 100
    assert found_of(fine, coarse).twins[0].blocks == pytest.approx(0, abs=1e-6)
    assert found_of(0 * fine, 0 * coarse).twins[0].blocks is None


def test_fields_on_one_grid_have_no_blocks():
    fine = rain()
    (twin,) = found_of(fine, fine + 1, factor=1).twins
    assert twin.blocks is None
    assert twin.error == pytest.approx(1)


def test_stretched_inputs_are_compared_where_they_come_to_lie():
    fine = rain()
    coarse = fine[..., ::5, ::3].copy()
    (twin,) = found_of(fine, coarse, factor=0).twins
    base = torch.nn.functional.interpolate(torch.from_numpy(coarse), (12, 16), mode="bilinear")
    assert twin.error == pytest.approx(np.square(fine - base.double().numpy()).mean(), rel=1e-6)


# --- units


def units_of(fine, coarse, channel):
    card = toy_card(inputs=(channel,), outputs=(channel,), conserve=())
    return unit_problems(found_of(fine, coarse, card), card)


def test_temperatures_in_other_units_are_noticed():
    fine = 285 + rain()
    coarse = coarsen_blocks(fine, FACTOR)
    assert not units_of(fine, coarse + 2, T2M)
    (told,) = units_of(fine, coarse - 273.15, T2M)
    assert "'t2m' of coarse is 12.1" in told
    assert "K on average, that of the target 285" in told
    assert "coarse['t2m'].attrs['units'], target['t2m'].attrs['units']" in told


def test_rain_in_other_units_is_noticed():
    fine = rain()
    coarse = coarsen_blocks(fine, FACTOR)
    assert not units_of(fine, 3 * coarse, PRECIP_RATE)
    for factor in (6, 1 / 6):
        (told,) = units_of(fine, coarse * np.float32(factor), PRECIP_RATE)
        assert "'precip_rate' of coarse is" in told


def test_a_constant_target_is_no_problem_of_units():
    fine = 285 + rain()
    assert not units_of(0 * fine + 285.5, coarsen_blocks(fine, FACTOR), T2M)


def test_a_target_that_happens_to_be_positive_is_no_amount():
    wind = Channel("u10", "eastward_wind", "m s-1")
    fine = 0 * rain() + 3
    coarse = 0.1 + 2 * (rain()[..., ::4, ::4] - rain()[..., ::4, ::4].mean())
    assert not units_of(fine, coarse, wind)


def test_dry_pairs_are_no_problem_of_units():
    fine = 0 * rain()
    assert not units_of(fine, coarsen_blocks(fine, FACTOR), PRECIP_RATE)


# --- files


def test_a_survey_survives_its_file():
    fine = rain()
    fine[1] = np.nan
    found = found_of(fine)
    assert Survey.from_json(found.to_json()) == found


def test_a_survey_of_nothing_survives_its_file():
    found = found_of(rain() * np.nan)
    assert Survey.from_json(found.to_json()).to_json() == found.to_json()

import warnings
from dataclasses import replace

import numpy as np
import pytest

from tests.test_draft import RAIN, WARM, drafted, pair_of
from tests.toys import write_toy_model
from xresdiff.errors import InputError
from xresdiff.models.card import Channel, Transform
from xresdiff.train.arguments import Arguments
from xresdiff.train.readers import ArrayReader
from xresdiff.train.settle import settle
from xresdiff.train.survey import Survey, Twin, Values, survey

CUBE_ROOT = Transform("power", exponent=1 / 3)
SIGNED = {"units": "m s-1", "standard_name": "eastward_wind"}
UNTOLD = {"units": "dBZ"}


def values(**changes):
    """Return what a survey finds of values about 280."""
    usual = Values(
        count=100,
        mean=280.0,
        std=8.0,
        bent_mean=6.5,
        bent_std=0.1,
        minimum=250.0,
        maximum=300.0,
        zeros=0.0,
        missing=0.0,
    )
    return replace(usual, **changes)


def twin(**changes):
    usual = Twin(
        output=0,
        input=0,
        coarse_mean=1.0,
        fine_mean=1.0,
        error=0.5,
        variance=1.0,
        bent_error=0.5,
        bent_variance=1.0,
        blocks=0.001,
    )
    return replace(usual, **changes)


def settled(plan, inputs=None, outputs=None, twins=(), **given):
    """Return a settled card; a survey of ordinary values is made where none is given."""
    card = plan.card
    found = Survey(
        pairs=10,
        inputs=tuple(inputs or [values() for _ in card.inputs]),
        outputs=tuple(outputs or [values() for _ in card.outputs]),
        twins=tuple(twins),
    )
    return settle(plan, found, Arguments(device="cpu", **given))


def plan_of(attrs, **given):
    return drafted(pair_of({"x": attrs}, {"x": attrs}), **given)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return write_toy_model(tmp_path_factory.mktemp("models") / "toy")


def known_rain():
    return pair_of({"precip_rate": RAIN}, {"precip_rate": RAIN})


# --- statistics


def test_new_channels_are_normalised_by_the_data():
    card = settled(plan_of(WARM), [values(mean=280.0)], [values(mean=281.0, std=9.0)])
    assert (card.inputs[0].mean, card.inputs[0].std) == (280.0, 8.0)
    assert (card.outputs[0].mean, card.outputs[0].std) == (281.0, 9.0)


def test_rain_is_normalised_under_its_cube_root():
    rain = values(mean=0.2, std=1.0, bent_mean=0.3, bent_std=0.6, minimum=0.0)
    card = settled(plan_of(RAIN), [rain], [rain])
    assert (card.outputs[0].mean, card.outputs[0].std) == (0.3, 0.6)


def test_the_statistics_of_real_pairs_make_what_the_networks_see_normal():
    rng = np.random.default_rng(0)
    coarse = rng.gamma(0.3, 2.0, (20, 1, 8, 8)).astype("f4")
    fine = np.kron(coarse, np.ones((4, 4), "f4"))
    reader = ArrayReader(coarse, fine, np.zeros((20, 2)), 4)
    plan = plan_of(RAIN)
    card = settle(plan, survey(reader, plan.card), Arguments(device="cpu"))
    (channel,) = card.outputs
    seen = (np.cbrt(fine) - channel.mean) / channel.std
    assert seen.mean() == pytest.approx(0.0, abs=1e-3)
    assert seen.std() == pytest.approx(1.0, abs=1e-3)
    assert card.conserve == ("x",)
    assert card.global_residual


def test_a_transform_of_the_users_own_is_measured():
    own = Channel("x", "", "mm h-1", transform=Transform("log1p", scale=0.1), minimum=0.0)
    plan = drafted(pair_of({"x": RAIN}, {"x": RAIN}), inputs=[own], outputs=[own])
    rng = np.random.default_rng(0)
    coarse = rng.gamma(0.3, 2.0, (20, 1, 8, 8)).astype("f4")
    fine = np.kron(coarse, np.ones((4, 4), "f4"))
    reader = ArrayReader(coarse, fine, np.zeros((20, 2)), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        card = settle(plan, survey(reader, plan.card), Arguments(device="cpu"))
    for channel in (*card.inputs, *card.outputs):
        assert channel.transform == own.transform
        seen = (np.log1p(fine / 0.1) - channel.mean) / channel.std
        assert seen.mean() == pytest.approx(0.0, abs=1e-3)
        assert seen.std() == pytest.approx(1.0, abs=1e-3)


def test_statistics_under_other_transforms_are_refused():
    coarse = np.random.default_rng(0).random((3, 1, 8, 8), dtype="f4")
    reader = ArrayReader(coarse, np.kron(coarse, np.ones((4, 4), "f4")), np.zeros((3, 2)), 4)
    before, now = (
        drafted(
            pair_of({"x": RAIN}, {"x": RAIN}),
            outputs=[Channel("x", "", "mm h-1", transform=Transform("log1p", scale))],
        )
        for scale in (0.1, 0.2)
    )
    found = Survey.from_json(survey(reader, before.card).to_json())
    settle(before, found, Arguments(device="cpu"))
    with pytest.raises(InputError, match="statistics of its channels under other transforms"):
        settle(now, found, Arguments(device="cpu"))


def test_values_that_a_transform_makes_alike_are_constant():
    own = Channel("x", "", "mm h-1", transform=Transform("sqrt"))
    plan = drafted(pair_of({"x": RAIN}, {"x": RAIN}), outputs=[own])
    below = values(minimum=-9.0, maximum=-1.0, bent_mean=0.0, bent_std=0.0)
    with pytest.warns(UserWarning, match="so the networks learn nothing of it"):
        card = settled(plan, outputs=[below])
    assert card.outputs[0].std == 1


def test_a_small_deviation_under_a_transform_is_not_constant():
    own = Channel("x", "", "Pa", transform=Transform("log1p"))
    attrs = {"units": "Pa"}
    plan = drafted(pair_of({"x": attrs}, {"x": attrs}), outputs=[own])
    high = values(mean=1e5, std=900.0, minimum=9e4, maximum=1.1e5, bent_mean=11.5, bent_std=0.009)
    assert settled(plan, outputs=[high]).outputs[0].std == 0.009


def test_channels_of_a_model_keep_their_statistics(start):
    card = settled(drafted(known_rain(), start))
    assert card.inputs == start.card.inputs


def test_channels_that_describe_themselves_keep_their_statistics():
    own = Channel("x", "", "K", mean=1.0, std=2.0)
    card = settled(drafted(pair_of({"x": WARM}, {"x": WARM}), inputs=[own]))
    assert card.inputs == (own,)


def test_all_is_measured_again_if_asked(tmp_path):
    warm = Channel("t2m", "air_temperature", "K", mean=1.0, std=2.0)
    channels = {"inputs": (warm,), "outputs": (warm,), "conserve": ()}
    model = write_toy_model(tmp_path / "warm", **channels)
    plan = drafted(pair_of({"t2m": WARM}, {"t2m": WARM}), model, normalisation="data")
    card = settled(plan, normalisation="data")
    assert (card.inputs[0].mean, card.outputs[0].std) == (280.0, 8.0)


def test_transforms_of_a_model_are_measured_again_if_asked(start):
    plan = drafted(known_rain(), start, normalisation="data")
    given = values(bent_mean=0.4, bent_std=0.8)
    card = settled(plan, [given], [given], normalisation="data")
    assert (card.inputs[0].mean, card.outputs[0].std) == (0.4, 0.8)
    assert card.outputs[0].transform == start.card.outputs[0].transform


def test_a_constant_channel_is_named():
    flat = values(std=0.0, minimum=280.0, maximum=280.0)
    with pytest.warns(UserWarning, match="the input 'x' is 280 K everywhere, so the networks"):
        card = settled(plan_of(WARM), [flat])
    assert (card.inputs[0].mean, card.inputs[0].std) == (280.0, 1.0)


def test_a_channel_without_a_value_is_refused():
    nan = float("nan")
    nothing = values(count=0, mean=nan, std=nan, minimum=nan, maximum=nan, zeros=nan, missing=1.0)
    with pytest.raises(InputError, match=r"the input 'x' has no known value.*inputs=\[...\]"):
        settled(plan_of(WARM), [nothing])


# --- transforms


def test_what_is_often_zero_and_never_negative_is_seen_through_its_cube_root():
    often = values(minimum=0.0, zeros=0.3, bent_mean=1.0, bent_std=2.0)
    card = settled(plan_of(UNTOLD), [values(minimum=0.0, zeros=0.1)], [often])
    for channel in (*card.inputs, *card.outputs):  # alike on both sides
        assert (channel.transform, channel.minimum) == (CUBE_ROOT, 0.0)
    assert (card.outputs[0].mean, card.outputs[0].std) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("attrs", "changes"),
    [
        (UNTOLD, {"minimum": 0.0, "zeros": 0.1}),
        (SIGNED, {"minimum": -3.0, "zeros": 0.9}),
        ({"units": "1", "standard_name": "cloud_area_fraction"}, {"minimum": 0.0, "zeros": 0.9}),
        (
            {"units": "W m-2", "standard_name": "surface_downwelling_shortwave_flux_in_air"},
            {"minimum": 0.0, "zeros": 0.5},
        ),
    ],
    ids=["seldom zero", "signed", "share", "sunlight"],
)
def test_other_quantities_are_seen_as_they_are(attrs, changes):
    card = settled(plan_of(attrs), [values(**changes)], [values(**changes)])
    assert card.outputs[0].transform == Transform("identity")


def test_the_channels_of_users_and_models_keep_their_transforms(start):
    often = values(minimum=0.0, zeros=0.9)
    own = Channel("x", "", "dBZ")
    plan = drafted(pair_of({"x": UNTOLD}, {"x": UNTOLD}), inputs=[own], outputs=[own])
    assert settled(plan, [often], [often]).outputs[0].transform == Transform("identity")
    assert settled(drafted(known_rain(), start), [often], [often]).outputs == start.card.outputs


# --- global residual


@pytest.mark.parametrize(("error", "pays"), [(0.9, True), (1.1, False)])
def test_a_global_residual_is_there_where_it_lowers_the_error(error, pays):
    assert settled(plan_of(WARM), twins=[twin(error=error)]).global_residual is pays
    rain = plan_of(RAIN)
    assert settled(rain, twins=[twin(error=9.0, bent_error=error)]).global_residual is pays


def test_several_outputs_decide_together_on_the_global_residual():
    plan = drafted(pair_of({"a": WARM, "b": SIGNED}, {"a": WARM, "b": SIGNED}))
    both = [twin(error=0.2), twin(output=1, input=1, error=1.5)]
    assert settled(plan, twins=both).global_residual
    worse = [twin(error=0.9), twin(output=1, input=1, error=1.5)]
    assert not settled(plan, twins=worse).global_residual


@pytest.mark.parametrize("asked", [True, False])
def test_a_global_residual_that_is_asked_for_is_taken(asked):
    plan = plan_of(WARM, global_residual=asked)
    card = settled(plan, twins=[twin(error=1.0 + asked)], global_residual=asked)
    assert card.global_residual is asked


def test_a_model_keeps_its_global_residual(start):
    card = settled(drafted(known_rain(), start), twins=[twin(error=5.0, bent_error=5.0)])
    assert card.global_residual


def test_without_an_output_that_is_an_input_there_is_no_global_residual():
    assert not settled(drafted(pair_of({"a": WARM}, {"b": SIGNED}))).global_residual


# --- conservation


@pytest.mark.parametrize(
    ("attrs", "blocks", "conserved"),
    [
        (RAIN, 0.005, ("x",)),
        (RAIN, 0.05, ()),
        (RAIN, None, ()),
        (WARM, 0.0, ()),
        ({"units": "m s-1", "standard_name": "wind_speed"}, 0.0, ()),
    ],
)
def test_rain_is_conserved_where_the_pairs_conserve_it(attrs, blocks, conserved):
    assert settled(plan_of(attrs), twins=[twin(blocks=blocks)]).conserve == conserved


def test_nothing_is_conserved_on_a_grid_of_ones_own():
    assert settled(plan_of(RAIN, extras=("hour",)), twins=[twin()]).conserve == ()


def test_conservation_that_is_asked_for_is_taken():
    for asked, blocks in (((), 0.0), (("x",), 0.05)):
        plan = plan_of(RAIN, conserve=asked)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            card = settled(plan, twins=[twin(blocks=blocks)], conserve=asked)
        assert card.conserve == asked


def test_block_means_that_are_forced_are_told():
    plan = plan_of(RAIN, conserve=("x",))
    with pytest.warns(UserWarning, match="block means of 'x' differ from the input by 40 %"):
        settled(plan, twins=[twin(blocks=0.4)], conserve=("x",))


def test_a_model_conserves_what_it_did(start):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        card = settled(drafted(known_rain(), start), twins=[twin(blocks=0.05)])
    assert card.conserve == ("precip_rate",)


def test_block_means_that_a_model_forces_are_told(start):
    with pytest.warns(UserWarning, match=r"'precip_rate' differ .* by 30 %.*: conserve=\(\)"):
        settled(drafted(known_rain(), start), twins=[twin(blocks=0.3)])
    plan = drafted(known_rain(), start, conserve=())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settled(plan, twins=[twin(blocks=0.3)], conserve=()).conserve == ()


def test_an_input_that_is_missing_over_more_than_half_is_told():
    plan = drafted(pair_of({"a": WARM, "b": SIGNED}, {"a": WARM}))
    gaps = values(missing=0.6)
    with pytest.warns(UserWarning, match=r"input 'b' is missing in 60 %.*: inputs=\['a'\]"):
        settled(plan, [values(), gaps])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settled(plan, [values(), values(missing=0.4)], [gaps])

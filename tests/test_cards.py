"""Cards: round trips, every problem named with its place, and how they look."""

import dataclasses
import json
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toys import PRECIP_RATE, fixed_card, toy_card
from xresdiff.errors import ModelError
from xresdiff.models.card import (
    Channel,
    DataSource,
    Extra,
    FixedTarget,
    ModelCard,
    NetworkCard,
    Padding,
    Patching,
    RefineTarget,
    SamplerCard,
    StageCard,
    Transform,
)
from xresdiff.models.parts import NETWORK_FIELDS, SAMPLER_NAMES
from xresdiff.models.strict_json import read
from xresdiff.nets.unet import UNetConfig

words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-6, max_value=1e6)
whole = st.integers(min_value=2, max_value=10**9)
leaves = st.none() | st.booleans() | st.integers() | numbers | words
json_values = st.recursive(
    leaves, lambda of: st.lists(of, max_size=3).map(tuple) | st.dictionaries(words, of, max_size=3)
)

channels = st.builds(
    Channel,
    name=words,
    standard_name=words,
    units=words,
    level_Pa=st.none() | positive,
    mean=numbers,
    std=positive,
    transform=st.builds(
        Transform, st.sampled_from(["identity", "log1p", "sqrt", "power"]), positive, positive
    ),
    minimum=st.none() | numbers,
    dry_below=st.none() | positive,
)
stages = st.builds(
    NetworkCard,
    config=st.dictionaries(st.sampled_from(NETWORK_FIELDS), json_values, max_size=3),
    parameters=whole,
)
refined = st.builds(
    lambda factor, km: RefineTarget(
        factor=factor, spacing_km=km, spacing_range_km=(km / 2, km * 2)
    ),
    whole,
    positive,
)
cards = st.builds(
    toy_card,
    name=names,
    description=words,
    data=st.lists(st.builds(DataSource, words, words, words, words), max_size=2).map(tuple),
    inputs=st.lists(channels, min_size=1, max_size=3, unique_by=lambda c: c.name).map(tuple),
    outputs=st.lists(channels, min_size=1, max_size=3, unique_by=lambda c: c.name).map(tuple),
    target=refined,
    conserve=st.just(()),
    global_residual=st.just(False),
    mean=stages.map(lambda network: StageCard("mean.safetensors", network)),
    sampler=st.builds(SamplerCard, st.sampled_from(SAMPLER_NAMES), whole)
    | st.builds(SamplerCard, st.just("stochastic"), churn=positive, churn_max=st.none() | positive),
    patch=whole,
    scores=st.dictionaries(words, numbers, max_size=3),
)

extras = st.builds(
    Extra,
    st.sampled_from(get_args(get_type_hints(Extra)["kind"])),
    words.filter(bool),
    numbers,
    positive,
)
pairs = st.tuples(st.integers(0, 60), st.integers(0, 60))
fixed = st.builds(
    fixed_card,
    target=st.builds(
        FixedTarget,
        region=words.filter(bool),
        spacing_km=positive,
        coarse_spacing_km=positive,
        stretched=st.booleans(),
        padding=st.none() | st.builds(Padding, pairs, pairs, st.booleans()),
    ),
    extras=st.lists(extras, max_size=3).map(tuple),
    hours=st.lists(numbers, min_size=1, max_size=3).map(tuple),
    lead_hours=st.lists(numbers, max_size=3).map(tuple),
    patching=st.none() | st.builds(Patching, st.just((64, 48)), whole=st.booleans()),
)


def changed(**changes):
    """Return the JSON of a toy card with places such as ``outputs__0__std`` changed."""
    data = json.loads(toy_card().to_json())
    for path, value in changes.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("__")]
        place = data
        for step in steps:
            place = place[step]
        place[last] = value
    return json.dumps(data)


@settings(max_examples=40, deadline=None)
@given(cards | fixed)
def test_cards_survive_a_round_trip(card):
    assert ModelCard.from_json(card.to_json()) == card
    assert ModelCard.from_json(card.to_json().encode()) == card


@settings(max_examples=40, deadline=None)
@given(cards)
def test_every_card_can_be_shown(card):
    assert card.name in repr(card)
    assert "<table>" in card._repr_html_()


def test_defaults_may_be_left_out_of_a_file():
    data = json.loads(toy_card().to_json())
    del data["sampler"], data["inputs"][0]["aliases"], data["references"]
    del data["mean"]["scale"], data["residual"]["scale"]
    card = ModelCard.from_json(json.dumps(data))
    assert card.residual.scale == ()
    assert card.sampler == SamplerCard()
    assert card.inputs[0].aliases == ()


def test_whole_numbers_are_read_as_numbers():
    card = ModelCard.from_json(changed(outputs__0__std=2))
    assert isinstance(card.outputs[0].std, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs__0__std": -1}, "outputs[0].std: -1 must be positive"),
        ({"outputs__0__std": "big"}, "outputs[0].std: 'big' must be a number"),
        ({"outputs__0__std": True}, "outputs[0].std: True must be a number"),
        ({"outputs__0__std": 10**400}, "must be a number"),
        ({"outputs__0__maximum": -1.0}, "outputs[0].minimum: 0 must be below maximum, -1"),
        ({"outputs__0__colour": "blue"}, "outputs[0].colour: unknown key; the known are name, "),
        ({"inputs__0__units": ""}, "inputs[0].units: must not be empty"),
        ({"inputs__0__units": None}, "inputs[0].units: None must be text"),
        ({"inputs__0__level_Pa": 0}, "inputs[0].level_Pa: 0 must be positive"),
        ({"inputs__0__aliases": "tp"}, "inputs[0].aliases: 'tp' must be a list [...]"),
        ({"inputs__0__aliases": ["tp", 1]}, "inputs[0].aliases[1]: 1 must be text"),
        ({"inputs__0__transform__name": "cube"}, "inputs[0].transform.name: 'cube' must be 'ident"),
        ({"inputs__0__transform": "log1p"}, "inputs[0].transform: 'log1p' must be an object"),
        ({"inputs": []}, "inputs: must not be empty"),
        ({"inputs": {}}, "inputs: {} must be a list [...]"),
        ({"target__factor": 16.0}, "target.factor: 16.0 must be a whole number"),
        ({"target__factor": 1}, "target.factor: 1 must be at least 2"),
        ({"target__spacing_range_km": [12]}, "target.spacing_range_km: [12] must be a list of 2"),
        ({"target__spacing_range_km": [20, 12]}, "(20, 12) must be positive, rise and hold spacin"),
        ({"target__kind": "anything"}, "target.kind: 'anything' must be 'refine' or 'fixed'"),
        ({"target__kind": []}, "target.kind: [] must be 'refine' or 'fixed'"),
        ({"target": 16}, "target: 16 must be an object"),
        ({"sampler__sigma_max": 0.001}, "sampler.sigma_max: 0.001 must exceed sigma_min, 0.002"),
        ({"sampler__churn": -1}, "sampler.churn: -1 must not be negative"),
        ({"scores": {"crps": "low"}}, "scores['crps']: 'low' must be a number"),
        ({"scores": [0.3]}, "scores: [0.3] must be an object"),
        ({"conserve": ["snow"]}, "conserve[0]: 'snow' must be an input and an output"),
        ({"outputs__0__minimum": None}, "conserve[0]: the output 'precip_rate' needs a minimum of"),
        ({"outputs__0__minimum": -1}, "conserve[0]: the output 'precip_rate' needs a minimum of"),
        (
            {"conditioning": ["bicubic"]},
            "conditioning[0]: 'bicubic' must be one of bilinear",
        ),
        ({"mean__network__config": {"stems": 4}}, "mean.network.config['stems']: unknown key; the"),
        (
            {"outputs__0__name": "rain", "conserve": []},
            "global_residual: true needs at least one output that is an input",
        ),
        ({"residual__scale": [0.3, 0.2]}, "residual.scale: has 2 numbers; needed are 1, one per"),
        ({"residual__scale": [0]}, "residual.scale[0]: 0 must be positive"),
        ({"residual__scale": ["big"]}, "residual.scale[0]: 'big' must be a number"),
        ({"mean__scale": [0.3]}, "mean.scale: is for the residual stage"),
        ({"name": "../toy"}, "name: '../toy' must be letters, digits, '.', '_' and '-'"),
        ({"title": "\x1b[2J"}, r"title: '\x1b[2J' must hold no control characters"),
        (
            {"mean__file": "../mean.bin"},
            "files: '../mean.bin' must be a plain lower-case file name",
        ),
        ({"mean__file": "card.json"}, "files: 'card.json' must be a plain lower-case file name"),
        ({"mean__file": "residual.safetensors"}, "residual.file: 'residual.safetensors' must diff"),
        ({"files": {"run.sh": "0" * 64}}, "files['run.sh']: must be one of mean.safetensors, res"),
        ({"files": {"mean.safetensors": "0"}}, "'0' must be 64 hexadecimal digits (sha256)"),
        ({"schema": 2}, "the card's schema is 2; this xresdiff reads 1."),
        ({"schema": True}, "the card's schema is True"),
    ],
)
def test_problems_are_named_with_their_place(changes, message):
    with pytest.raises(ModelError) as caught:
        ModelCard.from_json(changed(**changes))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1, 2]", "not a JSON object {...} but [1, 2]"),
        ('{"schema": 1, "schema": 1}', "the key 'schema' comes twice"),
        ('{"schema": NaN}', "NaN is not a number of JSON"),
        ("{}", "the card's schema is None"),
    ],
)
def test_texts_that_hold_no_card_are_refused(text, message):
    with pytest.raises(ModelError) as caught:
        ModelCard.from_json(text)
    assert message in str(caught.value)


def test_deep_nesting_is_refused():
    data = json.loads(changed())
    for _ in range(100_000):
        data["mean"]["network"]["config"] = {"deeper": data["mean"]["network"]["config"]}
    with pytest.raises(ModelError, match="cannot read the model card: it is nested too deeply"):
        read(ModelCard, data, what="model card")


def test_all_problems_are_told_at_once():
    text = changed(
        outputs__0__std=-1,
        outputs__0__colour="blue",
        inputs__0__mean="zero",
        sampler__steps=0,
        target__factor=0.5,
        scores={"crps": "low", "mae": 1},
        patch=None,
    )
    text = text.replace('"title"', '"titel"')
    with pytest.raises(ModelError, match="for 9 reasons") as caught:
        ModelCard.from_json(text)
    for place in (
        "outputs[0].std: -1 must be positive",
        "outputs[0].colour: unknown",
        "inputs[0].mean: 'zero'",
        "sampler.steps: 0 must be positive",
        "target.factor: 0.5",
        "scores['crps']: 'low'",
        "patch: None",
        "titel: unknown",
        "title: missing",
    ):
        assert str(caught.value).count(f"- {place}") == 1


def test_a_card_that_breaks_a_rule_cannot_be_made():
    with pytest.raises(ModelError, match="cannot make the model card 'toy': patch: 0 must be pos"):
        toy_card(patch=0)
    with pytest.raises(ModelError, match="patch: -4 must be positive"):
        dataclasses.replace(toy_card(), patch=-4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), r"scores\['crps'\]: nan must be finite"),
        (np.float32(0.3), r"scores\['crps'\]: .* is a float32, which JSON cannot keep"),
    ],
)
def test_cards_hold_only_what_json_keeps(value, message):
    with pytest.raises(ModelError, match=message):
        toy_card(scores={"crps": value})
    with pytest.raises(ModelError, match="is a int, which JSON cannot keep"):
        toy_card(scores={1: 0.3})


def test_the_fields_of_a_network_are_those_of_its_class():
    assert tuple(field.name for field in dataclasses.fields(UNetConfig)) == NETWORK_FIELDS


def test_two_channels_cannot_claim_one_variable():
    other = dataclasses.replace(PRECIP_RATE, name="rain", aliases=("tp",))
    with pytest.raises(ModelError, match=r"inputs\[1\]: 'tp' is inputs\[0\] already"):
        toy_card(inputs=(PRECIP_RATE, other))


def test_levels_share_the_name_of_their_variable():
    t500 = Channel("t500", "air_temperature", "K", level_Pa=50_000.0, aliases=("t", "ta"))
    t850 = dataclasses.replace(t500, name="t850", level_Pa=85_000.0)
    card = toy_card(inputs=(PRECIP_RATE, t500, t850))
    assert "t850 at 850 hPa [K] air_temperature (also t, ta)" in repr(card)


def test_text_tells_what_a_scientist_needs_to_know():
    assert repr(toy_card()) == "\n".join(
        [
            "<ModelCard toy 0.1> Rain at 4 km from rain at 16 km, for tests",
            "",
            "       Needs: precip_rate [mm h-1] lwe_precipitation_rate (also tp, pr, rain_rate)",
            "       Gives: precip_rate [mm h-1] lwe_precipitation_rate, at least 0, block means "
            "kept",
            "              on the grid of the input refined by 4 (4 km)",
            "       Where: anywhere, from a grid of 12 to 20 km",
            "     Licence: Apache-2.0",
            "  Trained on: random numbers (CC0-1.0): nobody",
            "     Sampler: dpmpp_2m, 8 steps",
            "  Parameters: mean 7, residual 7",
            "      Scores: crps 0.321",
            "  References: Mardani et al. (2025), doi:10.1038/s43247-025-02042-5",
        ]
    )


def test_a_base_needs_one_output_that_is_an_input():
    wind = Channel("ws", "wind_speed", "m s-1")
    assert toy_card(outputs=(PRECIP_RATE, wind)).global_residual
    assert fixed_card(global_residual=True).global_residual
    with pytest.raises(ModelError, match="at least one output that is an input"):
        fixed_card(global_residual=True, outputs=(wind,))


def test_extras_tell_whether_they_need_the_time():
    place = (Extra("static", "orography"), Extra("latitude", std=45.0))
    assert not fixed_card(extras=place).timed
    assert fixed_card(extras=(*place, Extra("cos_year"))).timed


def test_a_fixed_target_tells_its_region():
    target = FixedTarget("Taiwan", 2.07, 27.0, grid="taiwan.nc")
    card = fixed_card(target=target)
    assert "Where: Taiwan, on a grid of 2.07 km" in repr(card)
    assert card.parts == ("mean.safetensors", "residual.safetensors", "taiwan.nc")


def test_what_is_not_known_is_not_shown():
    shown = repr(toy_card(scores={}, references=()))
    assert "Scores" not in shown
    assert "References" not in shown


def test_html_is_escaped():
    evil = "<script>alert(1)</script>"
    channel = dataclasses.replace(PRECIP_RATE, units=evil, aliases=(evil,), maximum=500.0)
    card = toy_card(
        version=evil,
        title=evil,
        description=evil,
        licence=evil,
        references=(evil,),
        scores={evil: 1.0},
        inputs=(channel,),
        outputs=(channel,),
        data=(DataSource(evil, evil, evil),),
    )
    assert "<script" not in card._repr_html_()
    assert card._repr_html_().count("&lt;script&gt;") >= 9

"""What a training settles to do: patches, batches, steps and validations; and the page of it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.toys import fixed_card, toy_card, toy_networks
from xresdiff.errors import InputError
from xresdiff.models.card import Channel, Extra, NetworkCard, SamplerCard, StageCard
from xresdiff.nets.samplers import evaluations
from xresdiff.train.arguments import Arguments
from xresdiff.train.config import read_config
from xresdiff.train.plan import (
    LEAST,
    MOST,
    Effort,
    described,
    effort,
    is_whole,
    learned_from,
    memory_bytes,
    patch_multiple,
    patch_note,
    validate_every,
)
from xresdiff.train.survey import Survey
from xresdiff.train.validation import LEVELS, Validation


@dataclass
class Fields:
    """A reader of fields that nobody reads."""

    fine_shape: tuple[int, int]
    factor: int = 4
    n: int = 10

    @property
    def coarse_shape(self):
        return tuple(-(-size // max(self.factor, 1)) for size in self.fine_shape)


def with_networks(card, stem=4, parameters=(50_000, 60_000)):
    """Return a card whose networks take multiples of twice the stem."""
    stages = {}
    for (stage, config), count in zip(toy_networks().items(), parameters, strict=True):
        network = NetworkCard(config | {"stem": stem}, count)
        stages[stage] = StageCard(f"{stage}.safetensors", network)
    return replace(card, **stages)


def refining(patch=128, **changes):
    return with_networks(toy_card(patch=patch), **changes)


def regional(patch=128, **changes):
    return with_networks(fixed_card(patch=patch), **changes)


def settled(shape, card, *, pairs=10, gpu=False, tuned=False, factor=None, processes=1, **asked):
    factor = (4 if card.target.kind == "refine" else 1) if factor is None else factor
    reader = Fields(shape, factor)
    arguments = Arguments(**asked)
    return effort(arguments, card, reader, pairs, tuned=tuned, gpu=gpu, processes=processes)


# --- patches

sides = st.integers(1, 3000)
shapes = st.tuples(sides, sides)
asked_patches = st.none() | st.integers(1, 1000)
stems = st.sampled_from([1, 2, 4, 8])
patches_of_cards = st.sampled_from([8, 32, 64, 128, 448])


@given(shapes, asked_patches, stems, patches_of_cards)
def test_patches_that_refine_are_cut_from_the_fields(shape, asked, stem, patch):
    shape = tuple(-(-side // 4) * 4 for side in shape)
    card = refining(patch, stem=stem)
    multiple = patch_multiple(card)
    got = settled(shape, card, patch=asked).patch
    assert got % multiple == 0
    assert got % 4 == 0
    wanted = patch if asked is None else asked
    assert got == multiple or got <= min(wanted, *shape)
    assert got + multiple > min(wanted, *shape)  # and no smaller than they need be


@given(shapes, asked_patches, stems, patches_of_cards)
def test_patches_of_a_region_are_cut_or_whole(shape, asked, stem, patch):
    card = regional(patch, stem=stem)
    multiple = patch_multiple(card)
    got = settled(shape, card, patch=asked).patch
    wanted = patch if asked is None else asked
    assert got % multiple == 0
    if got >= max(shape):
        assert got < max(shape) + multiple
        small = all(-(-side // multiple) * multiple * min(shape) <= wanted**2 for side in shape)
        assert wanted >= max(shape) or small or got == multiple
    else:
        assert got == multiple or got <= min(wanted, *shape)


def test_a_narrow_region_is_taken_whole_if_that_is_no_more_than_a_patch():
    assert settled((64, 200), regional()).patch == 200
    assert settled((64, 200), regional(), patch=128).patch == 64
    assert settled((64, 2000), regional()).patch == 64


def test_a_large_region_is_learned_in_patches_of_the_card():
    done = settled((1000, 1200), regional(), pairs=5000)
    assert (done.patch, done.batch_size) == (128, 8)
    assert done.steps == {"mean": 4000, "residual": 10_000}


def test_stretched_fields_are_always_whole():
    card = regional()
    assert settled((96, 200), card, factor=0, patch=32).patch == 200
    assert is_whole(32, Fields((96, 200), factor=0))


def test_a_patch_of_a_side_that_is_no_multiple_is_not_exceeded():
    assert settled((100, 100), refining(), patch=100).patch == 96
    assert settled((100, 100), refining()).patch == 96


# --- batches and steps


@given(shapes, st.integers(1, 100_000), st.booleans(), st.booleans(), patches_of_cards)
def test_the_effort_is_within_bounds(shape, pairs, gpu, tuned, patch):
    done = settled(shape, regional(patch), pairs=pairs, gpu=gpu, tuned=tuned)
    assert 4 <= done.batch_size <= 64
    for stage, steps in done.steps.items():
        assert LEAST[stage][tuned] <= steps <= MOST[stage][tuned] * (8 if gpu else 1)
    assert done.steps["residual"] > done.steps["mean"]


@given(shapes, st.integers(1, 1000), st.booleans())
def test_more_data_are_not_learned_from_in_fewer_steps(shape, pairs, gpu):
    card = refining()
    few, many = (settled(shape, card, pairs=n, gpu=gpu).steps for n in (pairs, 2 * pairs))
    assert all(many[stage] >= few[stage] for stage in few)


def test_tiny_data_get_the_least_steps():
    done = settled((32, 32), refining(), pairs=1)
    assert done.steps == {"mean": 1000, "residual": 2500}
    assert done.batch_size == 64


def test_a_small_whole_region_counts_as_many_pixels_as_it_has():
    narrow = settled((16, 120), regional(stem=1))
    assert narrow.patch == 120
    assert narrow.batch_size == 64  # of 1920 pixels, not of 120 x 120


def test_the_mirror_image_of_a_small_field_is_not_counted_as_seen():
    """Of 1000 fields of 8 x 8, 64 are seen in a step, however large the patch must be."""
    card = refining(stem=16)
    assert patch_multiple(card) == 32
    assert settled((8, 8), card, pairs=1000, tuned=True).steps == {"mean": 312, "residual": 800}


def test_what_is_asked_for_is_done():
    done = settled(
        (64, 64),
        refining(),
        steps={"residual": np.int64(7)},
        batch_size=np.int64(3),
        learning_rate=np.float32(0.5),
    )
    assert done == Effort({"mean": 1000, "residual": 7}, 3, 64, 0.5)
    assert json.dumps(done.__dict__)  # no numbers of NumPy


def test_stages_that_are_not_trained_have_no_steps():
    assert settled((64, 64), refining(), stages=("residual",), steps=9).steps == {"residual": 9}


def test_every_process_gets_a_patch():
    assert settled((512, 512), refining(), processes=2).batch_size == 8
    assert settled((512, 512), refining(), processes=12).batch_size == 12
    with pytest.raises(InputError, match=r"batch_size is 3, too few for 4 processes.*batch_size=4"):
        settled((64, 64), refining(), processes=4, batch_size=3)


def test_networks_that_have_learned_or_are_large_get_a_lower_rate():
    large = refining(parameters=(10, 30_000_000))
    rates = [
        settled((64, 64), card, tuned=tuned).learning_rate
        for card, tuned in ((refining(), False), (refining(), True), (large, False))
    ]
    assert rates == [1e-3, 2e-4, 2e-4]


# --- validations


def cost(stage, batch, sampler):
    """Return the evaluations of a network in a validation, and in a step."""
    losses = Validation.batches * batch
    if stage == "mean":
        return losses + Validation.patches, 3 * batch
    levels = Validation.batches // 4 * len(LEVELS) * batch
    members = Validation.patches * Validation.members
    return losses + levels + members * (evaluations(sampler.name, sampler.steps) + 1), 3 * batch


@given(
    st.sampled_from(["mean", "residual"]),
    st.integers(1, 100_000),
    st.integers(1, 64),
    st.sampled_from([SamplerCard(), SamplerCard("heun", steps=18), SamplerCard("euler", steps=50)]),
)
def test_validations_cost_at_most_a_third_but_are_four_at_least(stage, steps, batch, sampler):
    every = validate_every(stage, steps, batch, sampler)
    times = -(-steps // every)
    once, step = cost(stage, batch, sampler)
    assert times <= 20 or steps < 20
    assert times >= min(4, steps)
    assert times <= max(4, min(steps, 7)) or (times + 1) * once <= steps * step / 3


@pytest.mark.parametrize(
    ("steps", "times"), [(10_000, 20), (2500, 7), (500, 4), (4, 4), (3, 3), (1, 1)]
)
def test_a_short_stage_is_validated_less_often(steps, times):
    every = validate_every("residual", steps, 16, SamplerCard("heun", steps=36))
    assert -(-steps // every) == times


# --- the page


def page_of(card, reader, done, **changes):
    known = {"training": 9, "validation": 1, "left_out": "", "counts": ""}
    return described(card, reader, done, **(known | changes), run=Path("run"))


def test_the_page_tells_the_numbers():
    card, reader = refining(parameters=(2_000_000, 3_000_000)), Fields((96, 120))
    done = Effort({"mean": 10, "residual": 30}, 4, 96, 1e-3)
    told = page_of(card, reader, done, left_out="; left out: 2 of coarse without a partner")
    assert told["pairs"] == (
        "9 to learn from, 1 to validate with; left out: 2 of coarse without a partner"
    )
    assert told["steps"] == "10 (mean), 30 (residual), learning rate 0.001"
    assert told["patches"] == "96 x 96 pixels, 4 a step"
    assert told["networks"] == "2 (mean) and 3 (residual) million parameters"
    assert told["grid"] == "4 times finer than 16 km, anywhere; fields of 96 x 120"


WARM, WIND, WET = (Channel(*of) for of in (("t", "", "K"), ("u", "", "m s-1"), ("q", "", "1")))


@pytest.mark.parametrize(
    ("costs", "told"),
    [
        ((0.0, 0.08), "80 % of the target: what is known where all inputs are"),
        ((0.02, 0.15), "80 % of .*; 95 % without 'u', which is missing: inputs=['t', 'q']"),
    ],
)
def test_it_is_told_how_much_counts_and_which_input_costs_most(costs, told):
    card = toy_card(inputs=(WARM, WIND, WET), outputs=(WARM,), conserve=())
    found = Survey(9, (), (), counted=0.8, costs=(*costs, 0.0))
    start, _, end = told.partition(".*")
    text = learned_from(card, found)
    assert text.startswith(start)
    assert text.endswith(end)
    assert ("without" in text) is ("without" in told)


def test_the_only_input_cannot_be_left_out():
    assert "without" not in learned_from(refining(), Survey(9, (), (), counted=0.1, costs=(0.9,)))


def test_what_reaches_beyond_the_target_does_not_count_as_missing():
    found = Survey(9, (), (), counted=0.75, costs=(0.0,))
    assert learned_from(refining(), found, padded=4 / 3).startswith("100 % of the target")


def test_the_page_tells_what_networks_are_told():
    kinds = ("sin_year", "cos_year", "sin_day", "cos_day", "cos_zenith", "latitude")
    extras = (Extra("static", "orography"), *map(Extra, kinds))
    reader, done = Fields((32, 32), factor=1), Effort({"mean": 1}, 4, 32, 1e-3)
    told = page_of(replace(regional(), extras=extras), reader, done)
    assert told["told"] == "orography, day_of_year, hour, solar_zenith, latitude"
    assert "told" not in page_of(regional(), reader, done)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (33, ("patches of 33 pixels asked for; the networks take multiples of 8",)),
        (4, ("patches of 4 pixels asked for; the networks take multiples of 8",)),
        (200, ("patches of 200 pixels asked for; the fields have 96 x 120",)),
        (32, ()),
        (None, ()),
    ],
)
def test_the_page_says_why_patches_are_not_those_asked_for(asked, told):
    done = settled((96, 120), refining(), patch=asked)
    assert patch_note(asked, done, refining(), Fields((96, 120))) == told


def test_the_page_says_that_one_pair_is_both():
    told = page_of(refining(), Fields((32, 32), n=1), Effort({"mean": 1}, 4, 32, 1e-3), training=1)
    assert told["pairs"] == "1 to learn from, 1 to validate with, the same"


def test_the_page_tells_whole_fields():
    told = page_of(regional(), Fields((64, 200), factor=1), Effort({"mean": 1}, 4, 200, 1e-3))
    assert told["patches"] == "whole fields, 4 a step"


def test_the_memory_is_that_of_the_stage_that_needs_more():
    card = refining(parameters=(2_000_000, 3_000_000))
    both = Effort({"mean": 1, "residual": 1}, 4, 32, 1e-3)
    assert memory_bytes(card, both) == 24 * 3_000_000 + 4 * 2_000_000
    assert memory_bytes(card, replace(both, steps={"mean": 1})) == 24 * 2_000_000 + 4 * 3_000_000


# --- a training in a file


def told(tmp_path, **lines):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"coarse": "a.nc", "target": "b.nc"} | lines))
    return read_config(path)


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", "1.e-3"])
def test_numbers_are_written_as_people_do(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(f"coarse: a.nc\ntarget: b.nc\nlearning_rate: {text}\nname: 1e-3x\n")
    assert read_config(path)["learning_rate"] == 0.001
    assert read_config(path)["name"] == "1e-3x"


def test_one_name_is_a_list_of_it(tmp_path):
    channel = {"name": "x", "standard_name": "rainfall_rate", "units": "mm h-1"}
    config = told(tmp_path, inputs="t2m", stages="mean", freeze="encoder", outputs=channel)
    assert (config["inputs"], config["stages"], config["freeze"]) == (
        ["t2m"],
        ["mean"],
        ["encoder"],
    )
    assert isinstance(config["outputs"][0], Channel)


def test_inputs_that_are_no_list_are_left_to_be_refused(tmp_path):
    assert told(tmp_path, inputs=3)["inputs"] == 3


def test_a_path_that_is_none_is_told(tmp_path):
    with pytest.raises(InputError, match="coarse is 5; the path of a file is needed"):
        told(tmp_path, coarse=5)


def test_names_of_any_alphabet_are_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes("coarse: häuser.nc\ntarget: b.nc\n".encode())
    assert read_config(path)["coarse"] == tmp_path / "häuser.nc"

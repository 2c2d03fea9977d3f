from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xresdiff.errors import InputError
from xresdiff.train.batches import Batch, Draws, joined

ARRAYS = ("coarse", "fine", "weight", "moments", "corners", "mean", "noise", "level")


def batch_of(n=3, seed=0, **changes):
    rng = np.random.default_rng(seed)
    fine = rng.normal(size=(n, 2, 8, 8)).astype(np.float32)
    batch = Batch(
        coarse=fine[..., ::4, ::4],
        fine=fine,
        weight=np.ones_like(fine),
        moments=rng.normal(size=(n, 2)),
        corners=rng.integers(9, size=(n, 2)),
    )
    return replace(batch, **changes)


def same(first, second):
    pairs = [(getattr(first, name), getattr(second, name)) for name in ARRAYS]
    return all(
        (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))
        for a, b in pairs
    )


@dataclass(frozen=True)
class Numbers:
    """Patches of random numbers."""

    def draw(self, rng, n, patch):
        fine = np.repeat(rng.normal(size=(1, 1, patch, patch)).astype(np.float32), n, axis=0)
        zeros = np.zeros((n, 2))
        return Batch(fine[..., ::4, ::4], fine, np.ones_like(fine), zeros, zeros.astype(np.int64))


def draws(**changes):
    settings = {"stage": "mean", "seed": 5, "batch_size": 6, "patch": 8, "noisy": True}
    return Draws(Numbers(), **(settings | changes))


# --- batches


def test_a_part_has_some_of_everything():
    batch = batch_of(level=np.arange(3.0))
    part = batch.part(slice(1, 3))
    assert len(part) == 2
    assert np.array_equal(part.fine, batch.fine[1:])
    assert part.level.tolist() == [1, 2]
    assert part.noise is None


def test_joined_parts_are_the_whole():
    batch = batch_of(n=5, level=np.arange(5.0))
    assert same(joined([batch.part(slice(0, 2)), batch.part(slice(2, 5))]), batch)


def test_an_array_that_only_some_batches_have_is_refused():
    with pytest.raises(ValueError, match="1 of 2 batches have 'level'"):
        joined([batch_of(), batch_of(level=np.zeros(3))])


def test_nothing_cannot_be_joined():
    with pytest.raises(ValueError, match="no batches"):
        joined([])


# --- draws


@given(
    batch_size=st.integers(1, 12),
    per_field=st.integers(1, 5),
    world=st.integers(1, 4),
    step=st.integers(0, 10**6),
)
def test_devices_share_what_one_would_draw(batch_size, per_field, world, step):
    source = draws(batch_size=batch_size, per_field=per_field)
    whole = source.batch(step)
    assert len(whole) == batch_size
    groups = -(-batch_size // per_field)
    world = min(world, groups)
    shared = [source.batch(step, rank, world) for rank in range(world)]
    fields = [{field.tobytes() for field in part.noise} for part in shared]
    assert sum(map(len, shared)) == batch_size
    assert set().union(*fields) == {field.tobytes() for field in whole.noise}


def test_patches_of_a_group_are_of_one_field():
    fine = draws(per_field=3).batch(0).fine
    assert np.array_equal(fine[0], fine[2])
    assert not np.array_equal(fine[2], fine[3])


def test_noise_and_levels_are_standard_normal():
    batch = draws(batch_size=400).batch(0)
    assert batch.noise.dtype == np.float32
    assert batch.level.dtype == np.float64
    assert batch.noise.std() == pytest.approx(1, abs=0.02)
    assert batch.level.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("change", [{"seed": 6}, {"stage": "residual"}])
def test_seed_and_stage_change_the_patches(change):
    assert not np.array_equal(draws().batch(3).fine, draws(**change).batch(3).fine)


def test_every_step_has_its_own_patches():
    assert not np.array_equal(draws().batch(3).fine, draws().batch(4).fine)


def test_the_same_step_is_the_same_batch():
    assert same(draws().batch(3), draws().batch(3))


def test_noise_does_not_change_the_patches():
    quiet = draws(noisy=False).batch(3)
    assert quiet.noise is None
    assert quiet.level is None
    assert np.array_equal(quiet.fine, draws().batch(3).fine)


def test_more_devices_than_groups_are_refused():
    with pytest.raises(InputError, match=r"too small for 4 devices: batch_size=8"):
        draws(batch_size=6, per_field=2).batch(0, rank=3, world=4)

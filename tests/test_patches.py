import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.engine.patches import PairedPatches, SelfCoarsened, coarsen_blocks
from xresdiff.errors import InputError

FACTOR = 4


def rng_of(seed=0):
    return np.random.default_rng(seed)


def same(first, second):
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("coarse", "fine", "weight")
    )


# --- block means


def test_blocks_are_averaged():
    fine = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    np.testing.assert_array_equal(coarsen_blocks(fine, 2), [[[2.5, 4.5], [10.5, 12.5]]])


def test_block_means_do_not_lose_small_values():
    fine = np.ones((512, 512), np.float32)
    fine[0, 0] = 2**25
    mean = coarsen_blocks(fine, 512)
    assert mean.dtype == np.float32
    assert mean.item() == pytest.approx((2**25 + 512**2 - 1) / 512**2, rel=1e-7)


# --- pairs in memory


def pairs(n=3, shape=(6, 8), turn=True, holes=True):
    """Return pairs whose fine blocks average to the coarse values, where none is missing."""
    rng = rng_of(7)
    fine = rng.normal(size=(n, 2, shape[0] * FACTOR, shape[1] * FACTOR)).astype(np.float32)
    coarse = coarsen_blocks(fine, FACTOR)
    if holes:
        fine[rng.random(fine.shape) < 0.05] = np.nan
    return PairedPatches(coarse, fine, FACTOR, turn=turn)


@pytest.mark.parametrize("turn", [False, True])
def test_pairs_stay_aligned(turn):
    batch = pairs(turn=turn, holes=False).draw(rng_of(), size=8, patch=16)
    assert batch.coarse.shape == (8, 2, 4, 4)
    assert batch.fine.shape == batch.weight.shape == (8, 2, 16, 16)
    np.testing.assert_allclose(coarsen_blocks(batch.fine, FACTOR), batch.coarse, atol=1e-6)
    assert (batch.weight == 1).all()


def test_missing_targets_have_no_weight():
    batch = pairs(holes=True).draw(rng_of(), size=8, patch=16)
    assert 0 < (batch.weight == 0).mean() < 0.1
    assert set(np.unique(batch.weight)) == {0, 1}
    assert np.isfinite(batch.fine).all()
    assert (batch.fine[batch.weight == 0] == 0).all()


def test_patches_come_from_everywhere():
    source = pairs(n=2, shape=(3, 3), holes=False, turn=False)
    batch = source.draw(rng_of(), size=200, patch=8)
    corners = {patch[0, 0, 0] for patch in batch.coarse}
    expected = {field[0, y, x] for field in source.coarse for y in range(2) for x in range(2)}
    assert corners == expected


def test_all_eight_turns_come():
    source = pairs(n=1, shape=(4, 4), holes=False)
    seen = {source.draw(rng_of(seed), 1, 16).coarse[0, 0].tobytes() for seed in range(80)}
    field = source.coarse[0, 0]
    turns = [np.rot90(side, k) for side in (field, field.T) for k in range(4)]
    assert seen == {np.ascontiguousarray(turn).tobytes() for turn in turns}


def test_patches_are_no_larger_than_the_fields():
    batch = pairs(shape=(2, 3), holes=False).draw(rng_of(), size=4, patch=64)
    assert batch.coarse.shape == (4, 2, 2, 3)  # not square, so not turned
    assert batch.fine.shape == (4, 2, 8, 12)
    np.testing.assert_allclose(coarsen_blocks(batch.fine, FACTOR), batch.coarse, atol=1e-6)


# --- one fine variable


def frame(shape=(160, 192), holes=0, seed=3):
    rng = rng_of(seed)
    rain = np.exp(rng.normal(size=shape)).astype(np.float32)
    rain[rng.random(shape) < 0.5] = 0
    for _ in range(holes):
        y, x = (rng.integers(n) for n in shape)
        rain[y : y + 9, x : x + 9] = np.nan
    return rain


@given(
    seed=st.integers(0, 1000),
    holes=st.integers(0, 3),
    patch=st.sampled_from([16, 32, 48, 64]),
    shape=st.tuples(st.integers(96, 200), st.integers(96, 200)),
)
@settings(max_examples=40, deadline=None)
def test_windows_never_hold_missing_values(seed, holes, patch, shape):
    frames = [frame(shape, holes, seed), frame((20, 500), 0, seed)]
    try:
        source = SelfCoarsened.of(frames, FACTOR, patch, stride=32)
    except InputError:
        return  # nothing is left of these frames
    batch = source.draw(rng_of(seed), size=8, patch=patch)
    assert np.isfinite(batch.fine).all()
    assert batch.fine.shape == (8, 1, patch, patch)
    assert (batch.weight == 1).all()
    np.testing.assert_array_equal(batch.coarse, coarsen_blocks(batch.fine, FACTOR))


def test_windows_start_at_any_pixel():
    height, width = 128, 160
    numbered = np.arange(1, height * width + 1, dtype=np.float32).reshape(height, width)
    source = SelfCoarsened.of([numbered], FACTOR, 32).without_scaling()
    batch = source.draw(rng_of(), size=64, patch=32)
    corners = np.array([divmod(int(fine.min()) - 1, width) for fine in batch.fine])
    for fine, (y, x) in zip(batch.fine, corners, strict=True):
        cut = numbered[y : y + 32, x : x + 32]
        np.testing.assert_array_equal(np.sort(fine, axis=None), np.sort(cut, axis=None))
    offsets = corners % 32
    assert len(np.unique(offsets[:, 0])) > 20
    assert len(np.unique(offsets[:, 1])) > 20


def test_wet_windows_come_more_often():
    rain = np.zeros((128, 256), np.float32)
    rain[:, 128:] = 1.0  # the right half
    rain[:, :4] = 1.0  # and a little at the left
    source = SelfCoarsened.of([rain], FACTOR, 64, stride=32, floor=0.02)
    chance = {tuple(corner[1:]): p for corner, p in zip(source.corners, source.chance, strict=True)}
    # a window of 64 pixels with four wet columns against one that is wet all over
    assert chance[0, 0] / chance[0, 160] == pytest.approx((0.02 + 4 / 64) / 1.02)
    assert (0, 32) not in chance  # dry
    assert source.chance.sum() == pytest.approx(1)


def test_half_of_the_patches_are_scaled():
    ones = np.ones((128, 128), np.float32)
    source = SelfCoarsened.of([ones], FACTOR, 64)
    factors = source.draw(rng_of(), size=400, patch=64).fine[:, 0, 0, 0]
    assert (factors == 1).mean() == pytest.approx(0.5, abs=0.1)
    assert factors.min() == pytest.approx(1 / 1.5, abs=0.02)
    assert factors.max() == pytest.approx(1.5, abs=0.02)
    plain = source.without_scaling().draw(rng_of(), size=400, patch=64)
    assert (plain.fine == 1).all()


@pytest.mark.parametrize(
    "frames",
    [
        [np.zeros((256, 256), np.float32)],
        [np.full((256, 256), np.nan, np.float32)],
        [frame((100, 100)), frame((64, 1000))],
    ],
    ids=["dry", "missing", "small"],
)
def test_frames_without_a_window_are_refused(frames):
    with pytest.raises(InputError, match=rf"none of the {len(frames)} frames .* 160 x 160 pixels"):
        SelfCoarsened.of(frames, FACTOR, 128)


# --- both


@pytest.mark.parametrize("source", [pairs(), SelfCoarsened.of([frame()], FACTOR, 32)])
def test_the_same_generator_gives_the_same_batch(source):
    first = source.draw(rng_of(5), size=4, patch=32)
    assert same(first, source.draw(rng_of(5), size=4, patch=32))
    assert not same(first, source.draw(rng_of(6), size=4, patch=32))
    assert {a.dtype for a in (first.coarse, first.fine, first.weight)} == {np.dtype(np.float32)}

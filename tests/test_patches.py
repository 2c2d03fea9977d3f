import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.errors import InputError
from xresdiff.train.batches import Draws
from xresdiff.train.patches import PairedPatches, SelfCoarsened, coarsen_blocks, split
from xresdiff.train.readers import ArrayReader

FACTOR = 4
ARRAYS = ("coarse", "fine", "weight", "moments", "corners")


def rng_of(seed=0):
    return np.random.default_rng(seed)


def same(first, second):
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ARRAYS)


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


# --- pairs


def reader_of(n=3, shape=(6, 8), holes=False, factor=FACTOR):
    """Return pairs whose fine blocks average to the coarse values, where none is missing."""
    rng = rng_of(7)
    fine = rng.normal(size=(n, 2, shape[0] * factor, shape[1] * factor)).astype(np.float32)
    coarse = coarsen_blocks(fine, factor)
    if holes:
        fine[rng.random(fine.shape) < 0.05] = np.nan
    return ArrayReader(coarse, fine, np.arange(2.0 * n).reshape(n, 2), factor)


def pairs(n=3, shape=(6, 8), holes=False, factor=FACTOR, **settings):
    return PairedPatches(reader_of(n, shape, holes, factor), np.arange(n), **settings)


@pytest.mark.parametrize("turn", [False, True])
def test_pairs_stay_aligned(turn):
    batch = pairs(turn=turn).draw(rng_of(), 8, patch=16)
    assert batch.coarse.shape == (8, 2, 4, 4)
    assert batch.fine.shape == batch.weight.shape == (8, 2, 16, 16)
    np.testing.assert_allclose(coarsen_blocks(batch.fine, FACTOR), batch.coarse, atol=1e-6)
    assert (batch.weight == 1).all()


def test_patches_of_a_draw_are_of_one_field():
    source = pairs()
    batch = source.draw(rng_of(), 8, patch=16)
    assert len(np.unique(batch.moments, axis=0)) == 1
    i = int(batch.moments[0, 0] / 2)
    for corner, fine in zip(batch.corners, batch.fine, strict=True):
        rows, columns = (slice(start, start + 16) for start in corner)
        np.testing.assert_array_equal(fine, source.reader.fine[i, :, rows, columns])


def test_missing_targets_have_no_weight():
    batch = pairs(holes=True).draw(rng_of(), 8, patch=16)
    assert 0 < (batch.weight == 0).mean() < 0.1
    assert set(np.unique(batch.weight)) == {0, 1}
    assert np.isfinite(batch.fine).all()
    assert (batch.fine[batch.weight == 0] == 0).all()


def test_missing_inputs_are_filled_and_have_no_weight():
    source = pairs(n=1, shape=(4, 4))
    source.reader.coarse[0, 1, 2, 3] = np.nan
    batch = source.draw(rng_of(), 1, patch=16)
    near = [batch.coarse[0, 1, place[0], place[1]] for place in ((1, 3), (3, 3), (2, 2))]
    assert batch.coarse[0, 1, 2, 3] in near
    hidden = np.zeros((16, 16), bool)
    hidden[8:12, 12:16] = True
    np.testing.assert_array_equal(batch.weight == 0, np.broadcast_to(hidden, (1, 2, 16, 16)))


def test_patches_come_from_everywhere():
    source = pairs(n=2, shape=(3, 3))
    draws = [source.draw(rng_of(seed), 1, patch=8) for seed in range(200)]
    corners = {batch.coarse[0, 0, 0, 0] for batch in draws}
    coarse = source.reader.coarse
    assert corners == {field[0, y, x] for field in coarse for y in range(2) for x in range(2)}


def test_only_the_picked_fields_are_drawn():
    source = PairedPatches(reader_of(n=9), np.array([2, 7]))
    seen = {source.draw(rng_of(seed), 1, 8).moments[0, 0] for seed in range(40)}
    assert seen == {4, 14}


def test_all_eight_turns_come():
    source = pairs(n=1, shape=(4, 4), turn=True)
    seen = {source.draw(rng_of(seed), 1, 16).coarse[0, 0].tobytes() for seed in range(80)}
    field = source.reader.coarse[0, 0]
    turns = [np.rot90(side, k) for side in (field, field.T) for k in range(4)]
    assert seen == {np.ascontiguousarray(turn).tobytes() for turn in turns}


def test_patches_of_a_target_of_its_own_start_at_any_pixel():
    source = pairs(n=1, shape=(9, 7), factor=1)
    corners = source.draw(rng_of(), 300, patch=5).corners
    assert set(map(tuple, corners)) == {(y, x) for y in range(5) for x in range(3)}


def test_means_are_cut_along():
    reader = reader_of(holes=True)
    means = rng_of(3).normal(size=reader.fine.shape).astype(np.float32)
    source = PairedPatches(reader, np.arange(3), turn=True, means=means)
    plain = PairedPatches(reader, np.arange(3), turn=True)
    for seed in range(8):
        batch = source.draw(rng_of(seed), 2, patch=16)
        assert same(batch, plain.draw(rng_of(seed), 2, patch=16))
        i = int(batch.moments[0, 0] / 2)
        y, x = batch.corners[1]
        values = np.sort(means[i, :, y : y + 16, x : x + 16], axis=None)
        np.testing.assert_array_equal(np.sort(batch.mean[1], axis=None), values)


def test_means_turn_with_the_targets():
    reader = reader_of()
    source = PairedPatches(reader, np.arange(3), turn=True, means=reader.fine)
    for seed in range(8):
        batch = source.draw(rng_of(seed), 2, patch=16)
        np.testing.assert_array_equal(batch.mean, batch.fine)


# --- small fields, whole fields, empty fields


@pytest.mark.parametrize("turn", [False, True])
def test_small_fields_are_mirrored_without_weight(turn):
    batch = pairs(shape=(2, 5), turn=turn).draw(rng_of(), 3, patch=24)
    assert batch.fine.shape == (3, 2, 24, 24)
    np.testing.assert_allclose(coarsen_blocks(batch.fine, FACTOR), batch.coarse, atol=1e-6)
    assert (batch.weight.sum(axis=(-1, -2)) == 8 * 20).all()


def test_a_mirror_stands_on_the_edge_as_in_inference():
    import torch

    from xresdiff.engine.tiles import pad_to

    source = pairs(n=1, shape=(2, 3))
    batch = source.draw(rng_of(), 1, patch=32)
    wanted, _ = pad_to(torch.from_numpy(source.reader.fine), multiple=32)
    np.testing.assert_array_equal(batch.fine, wanted)


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    patch=st.sampled_from([4, 8, 16, 24]),
    seed=st.integers(0, 99),
    holes=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_patch_has_its_size_and_block_means(shape, patch, seed, holes):
    batch = pairs(shape=shape, turn=True, holes=holes).draw(rng_of(seed), 2, patch)
    side = patch // FACTOR
    assert batch.coarse.shape == (2, 2, side, side)
    assert batch.fine.shape == batch.weight.shape == (2, 2, patch, patch)
    if not holes:
        np.testing.assert_allclose(coarsen_blocks(batch.fine, FACTOR), batch.coarse, atol=1e-5)
    # what is mirrored has no weight
    height, width = (min(side * FACTOR, FACTOR * size) for size in shape)
    assert (batch.weight.sum(axis=(-1, -2)) <= height * width).all()
    assert np.isfinite(batch.fine).all()


def test_whole_fields_of_a_target_of_its_own_are_as_they_are():
    source = pairs(n=1, shape=(9, 14), factor=1)
    batch = source.draw(rng_of(), 2, patch=16)
    assert batch.corners.tolist() == [[0, 0], [0, 0]]
    for field in batch.fine:
        np.testing.assert_array_equal(field, source.reader.fine[0])
    assert batch.weight.all()


def test_fields_of_a_stretched_target_are_always_whole():
    fine = rng_of().normal(size=(1, 1, 12, 20)).astype(np.float32)
    coarse = rng_of().normal(size=(1, 3, 4, 7)).astype(np.float32)
    coarse[0, 0, 0, 0] = np.nan
    source = PairedPatches(ArrayReader(coarse, fine, np.zeros((1, 2)), 0), np.arange(1))
    batch = source.draw(rng_of(), 1, patch=8)
    np.testing.assert_array_equal(batch.coarse[0, 1:], coarse[0, 1:])
    np.testing.assert_array_equal(batch.fine[batch.weight == 1], fine[batch.weight == 1])
    assert 0 < (batch.weight == 0).sum() < 20


def test_patches_without_a_target_are_drawn_again():
    reader = reader_of(n=2)
    reader.fine[0] = np.nan
    reader.fine[1, :, :, 8:] = np.nan
    source = PairedPatches(reader, np.arange(2))
    for seed in range(20):
        batch = source.draw(rng_of(seed), 2, patch=8)
        assert batch.weight.any(axis=(1, 2, 3)).all()
        assert (batch.moments[:, 0] == 2).all()


def test_fields_with_little_known_come_as_often_as_others():
    reader = reader_of(n=2)
    reader.fine[0, :, 4:] = np.nan
    reader.fine[0, :, :, 4:] = np.nan
    source = PairedPatches(reader, np.arange(2))  # a patch of field 0 is known once in 35 times
    seen = [source.draw(rng_of(seed), 1, patch=8).moments[0, 0] for seed in range(100)]
    assert np.mean(np.array(seen) == 0) > 0.2


def test_fields_without_any_target_are_refused():
    reader = reader_of(n=2)
    reader.fine[:] = np.nan
    with pytest.raises(InputError, match="none of 100 fields has a patch of 8 pixels where"):
        PairedPatches(reader, np.arange(2)).draw(rng_of(), 1, patch=8)


@pytest.mark.parametrize("source", [pairs(turn=True), pairs(holes=True, turn=True)])
def test_devices_share_the_draws_of_one(source):
    draws = Draws(source, "mean", seed=3, batch_size=6, patch=16, per_field=2)
    whole = draws.batch(4)
    second = draws.batch(4, rank=1, world=3)
    assert same(second, whole.part(slice(2, 4)))


# --- validation


def test_the_last_pairs_validate():
    training, validation = split(20, 0.1)
    assert training.tolist() == list(range(18))
    assert validation.tolist() == [18, 19]


@given(n=st.integers(2, 500), share=st.floats(0, 1))
def test_neither_part_is_empty_and_nothing_is_in_both(n, share):
    training, validation = split(n, share)
    assert len(training)
    assert len(validation)
    assert [*training, *validation] == list(range(n))


def test_a_single_pair_is_in_both():
    assert [part.tolist() for part in split([7], 0.1)] == [[7], [7]]


def test_picked_pairs_are_split_by_their_order():
    training, validation = split(np.array([1, 4, 6]), 0.4)
    assert training.tolist() == [1, 4]
    assert validation.tolist() == [6]


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
    batch = source.draw(rng_of(seed), 8, patch)
    assert np.isfinite(batch.fine).all()
    assert batch.fine.shape == (8, 1, patch, patch)
    assert (batch.weight == 1).all()
    np.testing.assert_array_equal(batch.coarse, coarsen_blocks(batch.fine, FACTOR))


def test_windows_start_at_any_pixel():
    height, width = 128, 160
    numbered = np.arange(1, height * width + 1, dtype=np.float32).reshape(height, width)
    source = SelfCoarsened.of([numbered], FACTOR, 32).without_scaling()
    batch = source.draw(rng_of(), 64, patch=32)
    corners = np.array([divmod(int(fine.min()) - 1, width) for fine in batch.fine])
    np.testing.assert_array_equal(batch.corners, corners)
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


def test_windows_of_a_draw_are_of_one_frame_and_frames_as_likely_as_their_windows():
    frames = [np.full((96, side), number, np.float32) for number, side in ((1, 96), (2, 192))]
    source = SelfCoarsened.of(frames, FACTOR, 32).without_scaling()
    rng = rng_of()
    numbers = np.array([source.draw(rng, 3, patch=32).fine[:, 0, 0, 0] for _ in range(600)])
    assert (numbers == numbers[:, :1]).all()
    share = source.chance[source.corners[:, 0] == 1].sum()
    assert (numbers[:, 0] == 2).mean() == pytest.approx(share, abs=0.06)


def test_half_of_the_patches_are_scaled():
    ones = np.ones((128, 128), np.float32)
    source = SelfCoarsened.of([ones], FACTOR, 64)
    rng = rng_of()
    factors = np.array([source.draw(rng, 2, patch=64).fine[:, 0, 0, 0] for _ in range(400)])
    assert (factors[:, 0] == factors[:, 1]).all()
    assert (factors == 1).mean() == pytest.approx(0.5, abs=0.1)
    assert factors.min() == pytest.approx(1 / 1.5, abs=0.02)
    assert factors.max() == pytest.approx(1.5, abs=0.02)
    plain = source.without_scaling().draw(rng_of(), 40, patch=64)
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


@pytest.mark.parametrize(
    "source", [pairs(turn=True, holes=True), SelfCoarsened.of([frame()], FACTOR, 32)]
)
def test_the_same_generator_gives_the_same_batch(source):
    first = source.draw(rng_of(5), 4, patch=32)
    assert same(first, source.draw(rng_of(5), 4, patch=32))
    assert not same(first, source.draw(rng_of(6), 4, patch=32))
    assert {a.dtype for a in (first.coarse, first.fine, first.weight)} == {np.dtype(np.float32)}
    assert first.moments.dtype == np.float64
    assert first.corners.dtype == np.int64

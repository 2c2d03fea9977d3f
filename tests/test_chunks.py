"""Chunks are chosen for the size of a member and the device, and given ones are kept."""

import pytest

from xresdiff.downscale import downscale
from xresdiff.engine import chunks
from xresdiff.engine.chunks import equal_chunks


@pytest.mark.parametrize("most", [1, 5, 16])
@pytest.mark.parametrize("n", range(1, 100))
def test_chunks_are_regular_and_complete(n, most):
    sizes = equal_chunks(n, most)
    assert sum(sizes) == n
    assert max(sizes) <= most
    assert set(sizes[:-1]) <= {sizes[0]}
    assert 0 < sizes[-1] <= sizes[0]


def test_sixty_four_members_are_four_chunks():
    assert equal_chunks(64, 16) == (16,) * 4
    assert equal_chunks(50, 16) == (10,) * 5


def members_of(coarse, toy, **changes):
    ens = downscale(coarse.chunk(time=1), model=toy, members=12, **changes)
    return ens.precip_rate.chunks[0]


FIELD = 24 * 20 * 4  # bytes


@pytest.mark.parametrize(("largest", "size"), [(FIELD - 1, 1), (3 * FIELD, 3), (99 * FIELD, 12)])
def test_a_chunk_is_no_larger_than_it_may_be(coarse, toy, monkeypatch, largest, size):
    monkeypatch.setitem(chunks.LARGEST_BYTES, "cpu", largest)
    assert members_of(coarse, toy) == (size,) * (12 // size)


def test_several_times_in_a_chunk_count(coarse, toy, monkeypatch):
    monkeypatch.setitem(chunks.LARGEST_BYTES, "cpu", 6 * FIELD)
    assert members_of(coarse, toy, chunks={"time": 3}) == (2,) * 6


def test_a_named_gpu_has_larger_chunks(coarse, toy, monkeypatch):
    monkeypatch.setitem(chunks.LARGEST_BYTES, "cpu", FIELD)
    assert members_of(coarse, toy, device="cuda:0") == (12,)


@pytest.mark.parametrize(("given", "expected"), [(5, (5, 5, 2)), (-1, (12,)), (40, (12,))])
def test_given_chunks_are_kept(coarse, toy, monkeypatch, given, expected):
    monkeypatch.setitem(chunks.LARGEST_BYTES, "cpu", 1)
    assert members_of(coarse, toy, chunks={"member": given}) == expected

"""Work in batches: everything in its place, one half-filled result at a time, memory that ends."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xresdiff.engine import stopping
from xresdiff.engine.batches import PIXELS_AT_ONCE, in_batches
from xresdiff.engine.stopping import Stopped

CPU = torch.device("cpu")
ONE = PIXELS_AT_ONCE["cpu"]  # pixels of a field that fills a batch


def numbers(picked):
    return np.arange(picked.start, picked.stop, dtype="f4")[:, None]


@given(st.data(), st.integers(1, 30), st.integers(1, 12), st.integers(1, 12))
def test_every_result_comes_to_its_place(data, n, batch, fits):
    order = data.draw(st.none() | st.permutations(range(n)))
    done = []

    def some(picked):
        if picked.stop - picked.start > fits:
            raise torch.OutOfMemoryError("out of memory")
        done.extend(range(picked.start, picked.stop))
        return numbers(picked)

    whole = in_batches(some, n, ONE // batch, CPU, order)

    expected = np.empty((n, 1))
    expected[range(n) if order is None else order] = np.arange(n)[:, None]
    np.testing.assert_array_equal(whole, expected)
    assert done == list(range(n))  # none of them twice


def test_one_thread_at_a_time_holds_a_half_filled_result():
    begun, most = set(), []

    def some(picked):
        begun.add(threading.get_ident())
        most.append(len(begun))
        time.sleep(1e-3)  # the others could come between
        if picked.stop == 5:
            begun.remove(threading.get_ident())
        return numbers(picked)

    with ThreadPoolExecutor(8) as pool:
        wholes = list(pool.map(lambda _: in_batches(some, 5, ONE, CPU), range(8)))

    assert max(most) == 1
    np.testing.assert_array_equal(wholes, [numbers(slice(0, 5))] * 8)


def test_devices_do_not_wait_for_each_other():
    both = threading.Barrier(2, timeout=10)

    def some(picked):
        both.wait()
        return numbers(picked)

    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(in_batches, some, 1, 1, torch.device(name)) for name in ("cpu", "cuda:0")
        ]
        for run in runs:
            run.result()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stopped, MemoryError])
def test_an_error_gives_the_device_back(error):
    tries = []

    def broken(picked):
        tries.append(picked)
        raise error

    with pytest.raises(error):
        in_batches(broken, 2, ONE, CPU)

    assert len(tries) == 1
    with ThreadPoolExecutor(1) as pool:  # another thread
        pool.submit(in_batches, numbers, 2, ONE, CPU).result(timeout=10)


def test_nothing_is_recorded_for_gradients():
    def some(picked):
        return np.full((1, 1), torch.is_inference_mode_enabled())

    assert in_batches(some, 1, 1, CPU)
    assert not torch.is_inference_mode_enabled()


def test_who_waits_for_the_device_notices_that_nobody_waits_for_it(monkeypatch):
    inside, go = threading.Event(), threading.Event()

    def deaf(picked):
        inside.set()
        go.wait(30)
        return numbers(picked)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_batches, deaf, 1, 1, CPU)
        assert inside.wait(10)
        second = pool.submit(in_batches, numbers, 1, 1, CPU)
        time.sleep(0.05)
        monkeypatch.setattr(stopping, "_ending", True)
        try:
            with pytest.raises(Stopped):
                second.result(timeout=10)
        finally:
            go.set()
        assert first.result() == 0  # it does not look

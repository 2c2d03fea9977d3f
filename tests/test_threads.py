"""Torch's threads of all workers together are no more than the cores."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import dask
import numpy as np
import pytest
import torch
from dask.system import CPU_COUNT

from xresdiff.engine import threads
from xresdiff.engine.batches import in_batches
from xresdiff.engine.threads import own_share


def threads_inside(*_):
    """How many threads torch has while a batch is computed."""

    def some(picked):
        return np.full((1, 1), torch.get_num_threads(), "f4")

    return int(in_batches(some, 1, 1, torch.device("cpu"))[0, 0])


def threads_outside(*_):
    return torch.ones(1).sum().item() * torch.get_num_threads()


def pretend_cores(number):
    threads.CPU_COUNT = number


def lower(number):
    os.environ["OMP_NUM_THREADS"] = number


@contextmanager
def workers(folder, **asked):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(dashboard_address=None, local_directory=str(folder), **asked) as cluster,
        Client(cluster) as client,
    ):
        yield client


def on_every(client, function, times=1):
    """Run a function as a task of every worker; return the results by worker."""
    return {
        address: client.gather(
            [client.submit(function, i, workers=[address], pure=False) for i in range(times)]
        )
        for address in client.scheduler_info(n_workers=-1)["workers"]
    }


@pytest.mark.slow
def test_all_workers_together_use_no_more_than_the_cores(tmp_path):
    with workers(tmp_path, n_workers=2, threads_per_worker=1) as client:
        used = on_every(client, threads_inside, times=4)
    assert len(used) == 2
    assert sum(max(own) for own in used.values()) <= max(CPU_COUNT, 2)


def test_the_share_of_a_worker(tmp_path):
    with workers(tmp_path, n_workers=1, threads_per_worker=4) as client:

        def on_worker(function):
            return set(next(iter(on_every(client, function, times=4).values())))

        assert on_worker(threads_outside) == {1}  # as the nanny wants it
        assert on_worker(threads_inside) == {min(4, CPU_COUNT)}
        assert on_worker(threads_outside) == {1}  # as it is left to others
        client.run(pretend_cores, 16)
        assert on_worker(threads_inside) == {4}  # the worker's
        client.run(pretend_cores, 3)
        assert on_worker(threads_inside) == {3}  # the cores'
        client.run(lower, "2")
        assert on_worker(threads_inside) == {2}  # lowered by the user


def test_workers_within_one_process(tmp_path):
    asked = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    with workers(tmp_path, **asked) as client:
        used = on_every(client, threads_inside, times=2)
    assert [set(own) for own in used.values()] == [{1}, {1}]


def test_other_child_processes_have_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    tasks = [dask.delayed(threads_inside)(i) for i in range(2)]
    assert dask.compute(*tasks, scheduler="processes", num_workers=2) == (1, 1)


def test_the_main_process_keeps_what_it_has():
    assert multiprocessing.parent_process() is None
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        assert threads_inside() == number


def test_a_thread_has_its_number_back_afterwards(monkeypatch):
    monkeypatch.setattr(threads, "_share", lambda: 3)

    def of_thread():
        torch.set_num_threads(2)
        with own_share():
            assert torch.get_num_threads() == 3
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(of_thread).result() == 2

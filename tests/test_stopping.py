"""Runs stop within one call of a network: at Ctrl-C, and when nobody waits for them."""

import signal
import subprocess
import sys
import time
from textwrap import dedent

import numpy as np
import pytest
import torch

from xresdiff.engine import batches, runtime, stopping
from xresdiff.engine.arguments import Settings
from xresdiff.engine.runtime import Draw, Runtime
from xresdiff.engine.stopping import Stopped, check
from xresdiff.models.card import SamplerCard
from xresdiff.tutorial import rain_pair

SOON = 30.0  # seconds, on a busy machine; the runs would take minutes

LONG = """
    import sys, time
    import xresdiff
    from tests.test_stopping import long_ensemble, tell_calls

    if __name__ == "__main__":
        xresdiff.set_options(progress=False)
        tell_calls()
        {go}
"""


def long_ensemble(members=4000):
    """One block that takes minutes, of batches that take moments."""
    coarse, _ = rain_pair(shape=(64, 64))
    return coarse.chunk().resdiff.downscale(members=members, chunks={"member": members})


def tell_calls():
    """Make batches of one member, and count the calls of networks here; tell the first."""
    batches.PIXELS_AT_ONCE["cpu"] = 1
    plain = Runtime._run

    def run(self, *args):
        count_calls.calls += 1
        if count_calls.calls == 1:
            print("running", flush=True)
        return plain(self, *args)

    Runtime._run = run


def count_calls():
    return count_calls.calls


count_calls.calls = 0


def until(true, timeout=60.0):
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


# --- a look


def test_what_is_waited_for_runs_on():
    check()


def test_a_model_stops_between_two_calls_of_a_network(toy, rain, monkeypatch):
    loaded = runtime.load(toy.key, "cpu", "float32")
    inputs = rain[0].precip_rate.values[:, None]
    mean = loaded.mean(inputs)
    calls = []

    def network(x, *args, **kwargs):
        calls.append(len(x))
        monkeypatch.setattr(stopping, "_ending", True)
        return x

    monkeypatch.setattr(loaded, "_residual_net", network)
    with pytest.raises(Stopped):
        loaded.members(inputs, mean, [Draw(0, (), 0)], Settings(SamplerCard(steps=4)))
    assert calls == [1]


def test_a_look_costs_microseconds():
    def seconds():
        start = time.perf_counter()
        for _ in range(1000):
            check()
        return (time.perf_counter() - start) / 1000

    assert min(seconds() for _ in range(5)) < 100e-6


# --- scripts


def start(go):
    code = dedent(LONG.format(go=go))
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("sync", marks=pytest.mark.slow)])
def test_a_script_ends_soon_after_ctrl_c(scheduler):
    script = start(f"long_ensemble().compute(scheduler={scheduler!r})")
    try:
        assert script.stdout.readline() == "running\n"
        script.send_signal(signal.SIGINT)
        _, errors = script.communicate(timeout=SOON)
    finally:
        script.kill()
    assert errors.strip().endswith("KeyboardInterrupt")
    assert "Stopped" not in errors


@pytest.mark.slow
def test_a_run_ends_with_the_main_thread():
    script = start(
        """
        import threading
        threading.Thread(target=long_ensemble().compute, kwargs={"scheduler": "sync"}).start()
        while tell_calls.__globals__["count_calls"].calls == 0: time.sleep(0.1)
    """.strip()
    )
    try:
        _, errors = script.communicate(timeout=60)
    finally:
        script.kill()
    assert "the main thread has ended" in errors


# --- workers


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("workers")),
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(tell_calls)
        yield client


def calls_of(client):
    return next(iter(client.run(count_calls).values()))


def executing(client):
    def count(dask_worker):
        return dask_worker.state.executing_count

    return next(iter(client.run(count).values()))


def errors_of(client):
    logs = next(iter(client.get_worker_logs().values()))
    return [line for level, line in logs if level == "ERROR"]


def assert_stops(client):
    end = time.monotonic() + SOON
    until(lambda: executing(client) == 0, timeout=end - time.monotonic())
    calls = calls_of(client)
    time.sleep(0.5)
    assert calls_of(client) == calls
    assert errors_of(client) == []


def test_a_worker_stops_when_its_task_is_cancelled(client):
    calls = calls_of(client)
    future = client.compute(long_ensemble())
    until(lambda: calls_of(client) > calls)
    future.cancel()
    assert_stops(client)

    two = client.compute(long_ensemble(members=2)).result(timeout=60)  # it is as good as new
    np.testing.assert_allclose(two.precip_rate, long_ensemble(2).compute().precip_rate, rtol=1e-4)


@pytest.mark.slow
def test_a_worker_stops_when_the_client_is_killed(client):
    calls = calls_of(client)
    script = start(
        f"""
        from distributed import Client
        client = Client({client.scheduler.address!r})
        long_ensemble().compute()
    """.strip()
    )
    try:
        until(lambda: calls_of(client) > calls)
    finally:
        script.kill()
        script.communicate()
    assert_stops(client)


def slow_to_stop(n):
    """Sum n fields of ones; take a second to give up."""

    def some(picked):
        time.sleep(0.01)
        try:
            check()
        except Stopped:
            time.sleep(1.0)
            raise
        return np.ones((1, 1), "f4")

    return float(batches.in_batches(some, n, 1, torch.device("cpu")).sum())


def test_a_task_that_is_wanted_again_while_it_gives_up_is_computed_again(client):
    given_up = client.submit(slow_to_stop, 50, key="wanted")
    until(lambda: executing(client) == 1)
    given_up.cancel()
    time.sleep(0.2)
    assert client.submit(slow_to_stop, 50, key="wanted").result(timeout=30) == 50
    assert errors_of(client) == []

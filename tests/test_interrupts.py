"""Ctrl-C at a random moment: it ends soon, leaves nobody behind, and can be gone on with."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.clusters import chunk_files, rain_ensemble

SOON = 30.0  # seconds; workers are to close, too, and the machine may be busy

PIECES = 14


def rain():
    return rain_ensemble(times=PIECES // 2, members=2, steps=3)


SCRIPT = """
import signal
import sys
from contextlib import nullcontext

import xresdiff
from tests.test_interrupts import rain

def main(path, workers):
    if workers:
        from distributed import Client, LocalCluster

        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0
        )
    else:
        cluster = nullcontext()
    with cluster, Client(cluster) if workers else nullcontext():
        print("begins", flush=True)
        rain().resdiff.to_zarr(path)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what runs behind a shell
    xresdiff.set_options(progress=False)
    main(sys.argv[1], int(sys.argv[2]))
"""


@pytest.fixture
def script(tmp_path):
    """Start a process group that writes; end what is left of it."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    started = []

    def start(path, workers):
        process = subprocess.Popen(
            [sys.executable, str(file), str(path), str(workers)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for left in members_of(process.pid):
            left.kill()
        process.kill()
        process.communicate()


def members_of(session):
    """Return the processes of a session, which are a script and all that it started."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.Error):
            continue
    return found


def rain_files(path):
    return [name for name in chunk_files(path) if name.startswith("precip_rate/c")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The chunks of a store whose writer nobody disturbed."""
    path = tmp_path_factory.mktemp("whole") / "ens.zarr"
    rain().resdiff.to_zarr(path)
    return chunk_files(path)


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "times"),
    [(0, 1), (0, 2), (2, 1)],
    ids=["alone", "twice", "workers"],
)
def test_ctrl_c_ends_it_soon_and_leaves_a_store_to_go_on_with(
    script, whole, tmp_path, workers, times
):
    path = tmp_path / "ens.zarr"
    process = script(path, workers)
    assert wait_for(lambda: rain_files(path), 90), process.poll()
    time.sleep(random.uniform(0, 1))
    asked = time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # as from a terminal: the workers get it, too
        time.sleep(0.01)
    _, errors = process.communicate(timeout=SOON)
    assert process.returncode in (-signal.SIGINT, 130), errors
    assert "KeyboardInterrupt" in errors
    theirs = 2 * workers  # each process of a LocalCluster shows two
    assert errors.count("Traceback (most recent call last)") <= times + 1 + theirs, errors
    assert time.monotonic() - asked < SOON
    assert wait_for(lambda: not members_of(process.pid), 5), members_of(process.pid)
    assert 0 < len(rain_files(path)) < PIECES
    rain().resdiff.to_zarr(path)
    assert chunk_files(path) == whole

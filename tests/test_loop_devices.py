import os
import subprocess
import sys
import time

import pytest
import torch

from tests.loop_toys import (
    ROOT,
    Toy,
    assert_same_weights,
    free_port,
    killed_at,
    run_two,
    sick_once,
    train,
    validation_of,
)
from xresdiff.train.devices import Devices


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder of a run of two processes."""
    out = tmp_path_factory.mktemp("two")
    processes = run_two(out, 20, 0)
    for process in processes:
        assert "finished" in process.communicate(timeout=120)[0]
    return out


def test_two_processes_are_one_to_rounding(two_processes, tmp_path):
    one, history = train(tmp_path, Toy())
    two = torch.load(two_processes / "weights-0.pt", weights_only=True)
    assert history[-1]["validation_loss"] < 0.8 * history[0]["validation_loss"]
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5)


def test_all_processes_end_with_the_same_weights(two_processes):
    first, second = (
        torch.load(two_processes / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1)
    )
    assert_same_weights(first, second)


def test_one_process_writes(two_processes):
    lines = (two_processes / "log.txt").read_text().splitlines()
    assert sum("'step': 20.0" in line for line in lines) == 1


def test_a_run_of_two_processes_goes_on_in_one(two_processes, tmp_path):
    """What is finished is returned as it is, whoever asks."""
    again, _ = train(two_processes, killed_at(0))
    assert_same_weights(again, torch.load(two_processes / "weights-0.pt", weights_only=True))


@pytest.mark.slow
def test_torchrun_works_too(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--master-addr=127.0.0.1", f"--master-port={free_port()}", "-m", "tests.loop_toys"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path), "20", "0"], cwd=ROOT, env=environ, check=True)
    assert (tmp_path / "weights-1.pt").exists()


def test_a_process_that_does_not_write_leaves_no_file(tmp_path):
    class Second(Devices):
        """The second of two, the first of which agrees with it."""

        def sum_(self, tensors):
            pass

        def share_(self, tensors):
            pass

        def sum(self, value):
            return value

        def broadcast(self, value):
            return {"validation_loss": 1.0} if isinstance(value, dict) else value

        def wait(self):
            pass

    devices = Second(torch.device("cpu"), rank=1, world=2)
    train(tmp_path, Toy(), devices=devices, validate=validation_of(Toy()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_processes_go_back_together(tmp_path):
    """The loss of one of them is not a number in step 7."""
    for process in run_two(tmp_path / "two", 20, 0, 7):
        assert "finished" in process.communicate(timeout=120)[0]
    one, _ = train(tmp_path / "one", sick_once(7))
    two = torch.load(tmp_path / "two" / "weights-1.pt", weights_only=True)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on(two_processes, tmp_path):
    processes = run_two(tmp_path, 20, 0.05)
    while not (tmp_path / "toy.before").exists():
        time.sleep(0.01)
    for process in processes:
        process.kill()
        process.communicate()
    assert not (tmp_path / "weights-0.pt").exists()
    for process in run_two(tmp_path, 20, 0):
        assert "finished" in process.communicate(timeout=120)[0]
    again, whole = (
        torch.load(out / "weights-0.pt", weights_only=True) for out in (tmp_path, two_processes)
    )
    assert_same_weights(again, whole)

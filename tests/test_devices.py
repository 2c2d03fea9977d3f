import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from xresdiff.errors import InputError
from xresdiff.train.devices import Devices

CPU = Devices(torch.device("cpu"))

TWO = """
import sys, torch, torch.distributed as dist
from xresdiff.train.devices import Devices
if sys.argv[1] == "theirs":
    dist.init_process_group("gloo")
one = Devices.here("cpu")
again = Devices.here("cpu")
assert (one.rank, one.world) == (again.rank, again.world) == (dist.get_rank(), 2)
assert one.writer == (one.rank == 0)
a = torch.arange(6.0).reshape(2, 3).T * (one.rank + 1)
b = torch.ones(1, 2, 2, 2).to(memory_format=torch.channels_last)
one.sum_([a, b])
assert torch.equal(a, torch.arange(6.0).reshape(2, 3).T * 3), a
assert torch.equal(b, torch.full((1, 2, 2, 2), 2.0))
assert b.is_contiguous(memory_format=torch.channels_last)
c = torch.nn.Parameter(torch.full((2,), float(one.rank)))
one.share_([c])
assert c.tolist() == [0, 0]
assert one.sum(0.1) == 0.2
assert one.broadcast({"rank": one.rank}) == {"rank": 0}
one.wait()
one.seed(1, 2)
drawn = torch.rand(1).item()
assert (one.sum(drawn) == 2 * drawn) == False
print("good", flush=True)
if sys.argv[1] == "theirs":
    one.wait()
    dist.destroy_process_group()  # who starts it ends it
"""


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture(autouse=True)
def nobody_called(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("whose", ["ours", pytest.param("theirs", marks=pytest.mark.slow)])
def test_two_processes_find_and_tell_one_another(whose):
    port, root = str(free_port()), Path(__file__).parents[1]
    processes = []
    for rank in "01":
        environ = {**os.environ, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}
        environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", TWO, whose]
        processes.append(
            subprocess.Popen(
                command,
                cwd=root,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes:
        told, wrong = process.communicate(timeout=120)
        assert (told, process.returncode) == ("good\n", 0), wrong


def test_alone_there_is_nobody_to_tell():
    devices = Devices.here("cpu")
    assert devices == CPU
    assert not dist.is_initialized()


def test_a_world_of_one_needs_no_talk(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert Devices.here("cpu").world == 1
    assert not dist.is_initialized()


def test_alone_everything_stays_as_it_is():
    tensor, thing = torch.arange(3.0), object()
    CPU.sum_([tensor])
    CPU.share_([tensor])
    CPU.wait()
    assert tensor.tolist() == [0, 1, 2]
    assert CPU.sum(0.1) == 0.1
    assert CPU.broadcast(thing) is thing


def test_each_process_takes_its_own_gpu(monkeypatch):
    from xresdiff.train import devices

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices._own_gpu() == torch.device("cuda:1")


def test_more_processes_than_gpus_are_refused(monkeypatch):
    from xresdiff.train import devices

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match=r"process 3 .* has 2 GPUs; .*--nproc-per-node=2"):
        devices._own_gpu()


def test_seeds_are_of_their_numbers_and_the_rank():
    drawn = []
    with CPU.own_randomness():
        for devices, numbers in (
            (CPU, (1, 2)),
            (CPU, (1, 2)),
            (CPU, (1, 3)),
            (Devices(CPU.device, rank=1, world=2), (1, 2)),
        ):
            devices.seed(*numbers)
            drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1]
    assert len({*drawn}) == 3


def test_randomness_of_its_own_leaves_that_of_others_alone():
    before = torch.get_rng_state()
    with CPU.own_randomness():
        CPU.seed(5)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)

"""The whole of a training in several processes: the model of one, one writer, errors told once."""

import multiprocessing
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.loop_toys import free_port
from tests.toys import rain_pairs, write_toy_model
from xresdiff.cli import main
from xresdiff.errors import InputError
from xresdiff.models.opening import open_model
from xresdiff.options import set_options
from xresdiff.train import history, loop
from xresdiff.train.devices import Devices

ROOT = Path(__file__).parents[1]
FACTOR = 4
CALL = {
    "steps": 20, "batch_size": 4, "device": "cpu", "precision": "float32", "learning_rate": 0.001
}  # fmt: skip
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def write_pairs(folder):
    """Write rain and its block means."""
    coarse, target = rain_pairs()
    coarse.to_netcdf(folder / "coarse.nc")
    target.to_netcdf(folder / "target.nc")


def write_config(folder, name="config.yaml", **changes):
    told = {"coarse": "coarse.nc", "target": "target.nc", "model": str(folder / "toy"), **CALL}
    path = folder / name
    path.write_text(yaml.safe_dump(told | changes))
    return path


def process(rank, world, port, output, work, *arguments):
    """Do something as one of the processes of torchrun, its output in a file."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", **{k: str(v) for k, v in place.items()}}
    torch.set_num_threads(1)
    with (
        Path(output).open("w", encoding="utf-8", buffering=1) as text,
        redirect_stdout(text),
        redirect_stderr(text),
        set_options(progress=False),
    ):
        sys.exit(work(*arguments))


def several(folder, work, *arguments, world=2):
    """Return how processes ended, and what each of them said."""
    port = free_port()
    outputs = [folder / f"said-{rank}.txt" for rank in range(world)]
    started = [
        PROCESSES.Process(target=process, args=(rank, world, port, outputs[rank], work, *arguments))
        for rank in range(world)
    ]
    for each in started:
        each.start()
    for each in started:
        each.join(120)
        alive = each.is_alive()
        each.kill()
        assert not alive
    return [each.exitcode for each in started], [path.read_text() for path in outputs]


def command(config, *more):
    return main(["train", str(config), *map(str, more)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of pairs and of a run of two processes."""
    folder = tmp_path_factory.mktemp("several")
    write_toy_model(folder / "toy")
    write_pairs(folder)
    ends, said = several(folder, command, write_config(folder), "--out", folder / "two")
    assert ends == [0, 0], said
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    torch.set_num_threads(1)
    with set_options(progress=False):
        assert command(folder / "config.yaml", "--out", folder / "one") == 0
    return folder / "one"


def assert_nearly_same(first, second):
    for stage in ("mean", "residual"):
        other = second.weights(stage)
        for name, value in first.weights(stage).items():
            np.testing.assert_allclose(other[name], value, rtol=0, atol=1e-5, err_msg=name)


# --- the same model


def test_two_processes_are_one_to_rounding(folder, alone):
    one, two = open_model(alone / "model"), open_model(folder / "two" / "model")
    assert_nearly_same(one, two)
    assert two.card.residual.scale == pytest.approx(one.card.residual.scale, rel=1e-6)
    begun = open_model(folder / "toy")
    for stage in ("mean", "residual"):  # it has learned something
        moved = [np.abs(w - begun.weights(stage)[n]).max() for n, w in one.weights(stage).items()]
        assert max(moved) > 1e-3


def test_their_history_is_one(folder, alone):
    one, two = history(alone), history(folder / "two")
    assert two.sizes == one.sizes
    np.testing.assert_allclose(two.validation_loss, one.validation_loss, rtol=1e-4)


def test_one_process_writes(folder):
    lines = (folder / "two" / "log.txt").read_text().splitlines()
    assert sum("'step': 20.0" in line for line in lines) == 2  # of either stage
    assert sum("training toy-tuned" in line for line in lines) == 1
    assert not list((folder / "two").rglob("*.new"))


def test_a_run_of_two_processes_goes_on_in_one(folder, monkeypatch):
    monkeypatch.setattr(loop._Run, "update", None)
    before = open_model(folder / "two" / "model").sha256
    assert command(folder / "config.yaml", "--out", folder / "two") == 0
    assert open_model(folder / "two" / "model").sha256 == before


# --- errors


def told_once(folder, *arguments):
    """Return what the first of two processes refuses, and the other says nothing of."""
    ends, said = several(folder, command, *arguments)
    assert ends == [2, 2]
    assert said[1] == ""
    assert said[0].startswith("xresdiff: ")
    return said[0]


def test_what_the_writer_refuses_reaches_the_others(folder):
    config = write_config(folder, "other.yaml", seed=3)
    assert "holds another run: seed was 0 and is 3" in told_once(
        folder, config, "--out", folder / "two"
    )


def test_data_that_all_refuse_are_told_once(folder):
    config = write_config(folder, "wrong.yaml", batch_size=0)
    assert "batch_size is 0" in told_once(folder, config, "--out", folder / "none")
    assert not (folder / "none").exists()


def test_a_batch_too_small_is_refused_before_training(folder):
    config = write_config(folder, "small.yaml", batch_size=1)
    told = told_once(folder, config, "--out", folder / "small")
    assert "batch_size is 1, too few for 2 processes" in told
    assert not (folder / "small" / "mean.pt").exists()


def talk():
    """Fail in one process, or in the writer alone, and see what the others raise."""
    devices = Devices.here("cpu")

    def fails_in(rank, error):
        def work():
            if devices.rank == rank:
                raise error
            return devices.rank

        return work

    def raised(do, work):
        try:
            return do(work)
        except Exception as error:
            return type(error).__name__, str(error)

    print(devices.together(fails_in(-1, None)), devices.lead(lambda: ["first", devices.rank]))
    print(raised(devices.together, fails_in(1, InputError("no data"))))
    print(raised(devices.lead, fails_in(0, InputError("another run"))))
    print(raised(devices.lead, fails_in(0, OSError("full"))))


def test_a_failure_of_one_is_raised_in_all(tmp_path):
    ends, (first, second) = several(tmp_path, talk)
    assert ends == [0, 0], (first, second)
    common = "('InputError', 'no data')\n('InputError', 'another run')\n"
    assert first == f"0 ['first', 0]\n{common}('OSError', 'full')\n"
    assert second == f"1 ['first', 0]\n{common}('RuntimeError', 'process 0: OSError: full')\n"


def own_error():
    with Devices.here("cpu").told_once():
        raise InputError(f"of process {os.environ['RANK']}")


def test_an_error_that_the_writer_does_not_tell_is_told(tmp_path):
    """The second of them has an error of its own, and ends as any process with an error."""
    assert several(tmp_path, own_error)[0] == [1, 1]


# --- torchrun itself


def torchrun(*arguments):
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    line += ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*line, "-m", "xresdiff", "train", *map(str, arguments)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_torchrun_trains_the_same_model(folder, alone):
    done = torchrun(folder / "config.yaml", "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    assert_nearly_same(open_model(alone / "model"), open_model(folder / "run" / "model"))


@pytest.mark.slow
def test_torchrun_tells_an_error_once(folder):
    config = write_config(folder, "again.yaml", seed=4)
    done = torchrun(config, "--out", folder / "two")
    assert done.returncode != 0
    assert len(re.findall("^xresdiff: .*holds another run", done.stderr, re.MULTILINE)) == 1
    assert "Error: Connection" not in done.stderr

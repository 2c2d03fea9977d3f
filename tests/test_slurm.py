"""The script for SLURM: its jobs as they are submitted, and all of it on a local cluster."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xresdiff
from xresdiff.tutorial import rain_pair

SCRIPT = Path(__file__).parents[1] / "examples" / "slurm.py"

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("slurm_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def job(script, monkeypatch, tmp_path):
    """Write the job script of a command line."""
    pytest.importorskip("dask_jobqueue")
    monkeypatch.chdir(tmp_path)  # of the folder for logs

    def written(*flags):
        with script.slurm_cluster(script.parse(["in.zarr", "out.zarr", *flags])) as cluster:
            return cluster.job_script()

    return written


def test_a_job_asks_for_what_its_worker_uses(job):
    flags = ["--partition", "cpu", "--account", "me", "--cores", "6", "--memory", "12GB"]
    text = job(*flags, "--hours", "24", "--scratch", "/scratch")
    for line in ("-p cpu", "-A me", "--cpus-per-task=6", "--mem=12G", "-t 24:00:00"):
        assert f"#SBATCH {line}\n" in text
    for words in ("dask_worker tcp://", "--nthreads 6", "--nanny", "--local-directory /scratch"):
        assert words in text
    assert "gpu" not in text


def test_workers_leave_before_their_job_is_ended(job):
    assert "--lifetime 110m --lifetime-stagger 5m" in job("--hours", "2")


def test_a_worker_with_a_gpu_has_one_thread_and_several_cores(job):
    text = job("--gpu", "--cores", "4")
    assert "#SBATCH --gres=gpu:1\n" in text
    assert "#SBATCH --cpus-per-task=4\n" in text
    assert "--nthreads 1 " in text


@pytest.mark.slow
def test_it_runs_on_a_local_cluster(tmp_path):
    """And its members are those of one process."""
    coarse, _ = rain_pair(times=2, shape=(64, 64))
    coarse.to_zarr(tmp_path / "coarse.zarr")
    flags = ["--members", "2", "--steps", "2", "--cluster", "local", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, "coarse.zarr", "ens.zarr", *flags],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    ens = xr.open_zarr(tmp_path / "ens.zarr")
    expected = xresdiff.downscale(coarse, members=2, steps=2)
    assert dict(ens.sizes) == {"member": 2, "time": 2, "y": 64, "x": 64}
    np.testing.assert_allclose(ens.precip_rate, expected.precip_rate, rtol=1e-4, atol=1e-4)

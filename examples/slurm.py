"""Downscale a long run on a cluster with SLURM: run it again after a kill, and it goes on.

python examples/slurm.py coarse.zarr ens.zarr --members 64 --workers 20 --partition cpu
python examples/slurm.py coarse.zarr ens.zarr --members 64 --workers 4 --partition gpu --gpu
python examples/slurm.py coarse.zarr ens.zarr --cluster local --workers 2   # on this machine

The first two need ``pip install dask-jobqueue``. Each worker is a job of SLURM; this process, which
plans the work and keeps the record of what is done, needs one core and no GPU.
"""

import argparse
import signal
from typing import Any

import xarray as xr
from distributed import Client, LocalCluster

import xresdiff

MINUTES_TO_LEAVE = 10  # before SLURM ends a job, its worker stops taking work


def slurm_cluster(options: argparse.Namespace) -> Any:
    """Describe the jobs: one worker each, with all cores of the job, or with a GPU."""
    from dask_jobqueue import SLURMCluster

    lifetime = f"{options.hours * 60 - MINUTES_TO_LEAVE}m"
    return SLURMCluster(
        queue=options.partition,
        account=options.account,
        walltime=f"{options.hours:02d}:00:00",
        memory=options.memory,
        job_cpu=options.cores,
        cores=1 if options.gpu else options.cores,  # threads of the worker
        processes=1,
        job_extra_directives=["--gres=gpu:1"] if options.gpu else [],
        # jobs that began together do not leave together
        worker_extra_args=["--lifetime", lifetime, "--lifetime-stagger", "5m"],
        local_directory=options.scratch,
        log_directory="slurm-logs",
    )


def local_cluster(options: argparse.Namespace) -> Any:
    """Start worker processes of one thread here."""
    return LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", help="zarr store of coarse fields")
    parser.add_argument("output", help="zarr store that is written, or gone on with")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--model", default="rain-16x")
    parser.add_argument("--steps", type=int, help="of the sampler; the model's choice by default")
    parser.add_argument("--cluster", choices=["slurm", "local"], default="slurm")
    parser.add_argument("--workers", type=int, default=4, help="jobs, or processes of a local one")
    parser.add_argument("--partition", help="of SLURM")
    parser.add_argument("--account", help="of SLURM")
    parser.add_argument("--hours", type=int, default=8, help="wall time of a job")
    parser.add_argument("--cores", type=int, default=4, help="of a job")
    parser.add_argument("--memory", default="8GB", help="of a job")
    parser.add_argument("--gpu", action="store_true", help="give each job one")
    parser.add_argument("--scratch", help="folder on the nodes' own disks, such as $TMPDIR")
    return parser.parse_args(arguments)


def main() -> None:
    """Write the ensemble with all workers that SLURM grants, as they come and go."""
    options = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as by Ctrl-C: in good order
    cluster = slurm_cluster(options) if options.cluster == "slurm" else local_cluster(options)
    with cluster, Client(cluster):
        cluster.adapt(minimum=options.workers, maximum=options.workers)  # replaces those that leave
        ds = xr.open_zarr(options.input)
        ens = xresdiff.downscale(
            ds, members=options.members, model=options.model, steps=options.steps
        )
        xresdiff.to_zarr(ens, options.output)


if __name__ == "__main__":
    main()

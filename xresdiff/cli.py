"""The command line: ``xresdiff demo | models | downscale | score | train``."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import xarray as xr

import xresdiff
from xresdiff import demo
from xresdiff.downscale import downscale
from xresdiff.errors import InputError, XresdiffError
from xresdiff.grids.target import target_grid
from xresdiff.models.package import Model
from xresdiff.models.zoo import models
from xresdiff.store import to_netcdf, to_zarr
from xresdiff.train import finetune, train
from xresdiff.train.config import DATASETS, NOTHING, read_config, train_from
from xresdiff.verify.tables import scores

__all__ = ["main"]

_Command: TypeAlias = argparse.ArgumentParser

CONFIGS = (".yaml", ".yml")
NETCDF = (".nc", ".nc4", ".cdf")

REFUSED = 2  # exit status, as argparse's own
INTERRUPTED = 130  # as the shell's


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What was typed after ``xresdiff``; that of this process by default.

    Returns
    -------
    int
        Exit status: 0, or 2 if the command was refused, with the reason on standard error.

    Examples
    --------
    >>> main(["score", "nowhere.zarr", "truth.nc"])
    2
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except XresdiffError as error:
        print(f"xresdiff: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("xresdiff: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def open_file(path: str | Path) -> xr.Dataset:
    """Open a netCDF file, a zarr folder or a zip of one, lazily.

    Raises
    ------
    InputError
        If there is no such file, or nothing that reads it.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no {path}; a netCDF file or a zarr folder is needed")
    try:
        if path.suffix == ".zip":
            from zarr.storage import ZipStore

            return xr.open_zarr(ZipStore(path, mode="r"), consolidated=False)
        if path.is_dir():
            return xr.open_zarr(path)
        return xr.open_dataset(path, chunks={})
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"cannot read {path} ({error}); a netCDF file or a zarr folder is needed"
        ) from error


def _demo(options: argparse.Namespace) -> None:
    case = demo.of_dataset(open_file(options.data)) if options.data else demo.made_here()
    shape = " x ".join(str(size) for size in case.coarse.shape)
    print(f"downscaling {shape} coarse cells to {options.members} members ...", flush=True)
    result = demo.downscaled(case, members=options.members, steps=options.steps, seed=options.seed)
    written = demo.save(result, options.out)
    print(demo.table(result))
    print("wrote " + ", ".join(map(str, written)))


def _models(options: argparse.Namespace) -> None:
    print(models())


def _downscale(options: argparse.Namespace) -> None:
    coarse = open_file(options.coarse)
    ens = downscale(
        coarse,
        members=options.members,
        model=options.model,
        steps=options.steps,
        seed=options.seed,
        grid=_grid(coarse, options),
        accumulation=options.accumulation,
        skipna=options.skipna,
    )
    write = to_netcdf if Path(options.out).suffix in NETCDF else to_zarr
    write(ens, options.out)


def _grid(coarse: xr.Dataset, options: argparse.Namespace) -> xr.Dataset | None:
    """Return the grid that is wanted, None for the input's own, refined."""
    if options.grid is not None:
        return open_file(options.grid)
    if options.spacing_km is None and options.crs is None:
        return None
    return target_grid(coarse, spacing_km=options.spacing_km, crs=options.crs)


def _score(options: argparse.Namespace) -> None:
    table = scores(open_file(options.ens), open_file(options.obs)).compute()
    print(table.to_dataframe().T.to_string(float_format="{:.4g}".format))


def _train(options: argparse.Namespace) -> None:
    if options.coarse.suffix in CONFIGS:
        model = _train_as_told(options)
    elif options.target is None:
        raise InputError(
            f"a target is needed beside {options.coarse}: xresdiff train COARSE TARGET, or "
            "xresdiff train CONFIG.yaml"
        )
    else:
        coarse, target = open_file(options.coarse), open_file(options.target)
        given = {"steps": options.steps, "out": options.out or "run"}
        if options.model == NOTHING:
            model = train(coarse, target, **given)
        else:
            model = finetune(coarse, target, model=options.model, **given)
    if _leads():
        print(f"trained {model.path}")


def _leads() -> bool:
    """Tell whether this process talks to the user: the first of those that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", 1)) == 1 or os.environ.get("RANK", "0") == "0"


def _train_as_told(options: argparse.Namespace) -> Model:
    """Train as a file says; what is typed beside it counts more."""
    config = read_config(options.coarse)
    for name in ("target", "model", "steps", "out"):
        if getattr(options, name) is not None:
            config[name] = getattr(options, name)
    datasets = {name: open_file(config[name]) for name in DATASETS if config.get(name) is not None}
    return train_from(config, datasets)


def _parser() -> argparse.ArgumentParser:
    """Describe the commands; each sets `run`, which takes the options."""
    parser = argparse.ArgumentParser(prog="xresdiff", description=xresdiff.__doc__)
    parser.add_argument("--version", action="version", version=f"xresdiff {xresdiff.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> _Command:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.set_defaults(run=run)
        return made

    made = command("demo", _demo, "downscale rain made here, or yours; draw and score it")
    made.add_argument("--data", type=Path, metavar="FILE", help="your own rain rate")
    made.add_argument("--out", type=Path, default=Path("demo"), metavar="FOLDER")
    _add_sampling(made)

    command("models", _models, "list the known models")

    made = command("downscale", _downscale, "downscale a file to a zarr store or a netCDF file")
    made.add_argument("coarse", type=Path, metavar="IN", help="netCDF file or zarr folder")
    made.add_argument("out", metavar="OUT", help="zarr folder or URL (run again to resume), or .nc")
    made.add_argument("--model", default="rain-16x", help="name or path (default: %(default)s)")
    wanted = made.add_mutually_exclusive_group()
    wanted.add_argument("--grid", type=Path, metavar="FILE", help="a file on the fine grid wanted")
    wanted.add_argument("--spacing-km", type=float, help="or its spacing, over the place of IN")
    made.add_argument("--crs", help="and its projection, such as EPSG:27700")
    made.add_argument("--accumulation", help="time in which an amount fell, such as 1h")
    made.add_argument(
        "--skipna", action="store_true", help="leave the places of missing values missing"
    )
    _add_sampling(made)

    made = command("score", _score, "score an ensemble against the truth")
    made.add_argument("ens", type=Path, metavar="ENS", help="netCDF file or zarr folder")
    made.add_argument("obs", type=Path, metavar="OBS", help="netCDF file or zarr folder")

    made = command("train", _train, "train a model, or go on training one, with pairs of fields")
    made.add_argument(
        "coarse", type=Path, metavar="COARSE", help="netCDF file or zarr folder; or a .yaml file"
    )
    made.add_argument("target", type=Path, nargs="?", help="netCDF file or zarr folder")
    made.add_argument("--model", help=f"name or path; {NOTHING!r} trains from nothing")
    made.add_argument("--steps", type=int, help="of each stage (default: what suits the data)")
    made.add_argument("--out", metavar="FOLDER", help="of the run (default: run)")
    return parser


def _add_sampling(command: _Command) -> None:
    command.add_argument("--members", type=int, default=16, help="(default: %(default)s)")
    command.add_argument("--steps", type=int, help="of the sampler (default: the model's)")
    command.add_argument("--seed", type=int, default=0, help="of the noise (default: %(default)s)")

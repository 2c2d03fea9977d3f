"""Coarse Dataset in, lazy ensemble out: check, regress the mean, draw the residual, label.

Nothing is computed here. The graph that is built carries the key of the model; the workers load
it (:mod:`xresdiff.engine.runtime`).
"""

from collections.abc import Hashable, Mapping
from os import PathLike
from typing import Literal

import numpy as np
import xarray as xr

from xresdiff.engine.arguments import Arguments
from xresdiff.engine.blocks import map_blocks, mean_block, member_block, physical_block
from xresdiff.engine.chunks import member_chunks
from xresdiff.engine.cutting import cut
from xresdiff.engine.hours import moves_time, on_hours
from xresdiff.engine.inputs import at_hours, stacked
from xresdiff.engine.labels import labelled, noise_labels
from xresdiff.engine.missing import checked, filled, masked
from xresdiff.engine.moments import moments
from xresdiff.engine.request import Request, check_request
from xresdiff.errors import raise_problems
from xresdiff.grids.regrid.make_weights import Method
from xresdiff.models.card import SamplerCard
from xresdiff.models.opening import at_hand, open_model
from xresdiff.models.package import Model

__all__ = ["downscale"]


def downscale(
    ds: xr.Dataset,
    *,
    members: int = 16,
    model: str | PathLike[str] | Model = "rain-16x",
    stage: Literal["both", "mean"] = "both",
    sampler: str | SamplerCard | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    tile: int | Literal["independent"] | None = None,
    overlap: int | None = None,
    chunks: Mapping[Hashable, int] | None = None,
    grid: xr.Dataset | xr.DataArray | None = None,
    regridding: Method | None = None,
    accumulation: str | None = None,
    skipna: bool = False,
    na_thres: float = 1.0,
) -> xr.Dataset:
    r"""Draw an ensemble of fine fields from coarse ones.

    Residual corrective diffusion (Mardani et al., 2025, doi:10.1038/s43247-025-02042-5): a
    regression gives the mean of what is possible, a diffusion model draws the rest.

    Parameters
    ----------
    ds : xarray.Dataset, (..., y, x)
        Coarse fields: on a uniform grid of the model's spacing, or on any other if `grid` is given
        or the model has a grid of its own, which they must cover. Variables are found by name,
        alias or standard name and level, and converted to the model's units; values out of its
        bounds, such as rain just below zero, count as the bound, but those far below, and fill
        values, are refused, and so are fields of which most lies far from all that the model
        learned from. Every dimension beside level, y and x is kept; a model of daily fields gives
        the hours of every day whose neighbours are there.
    members : int, default 16
        Size of the ensemble. More members leave the first ones as they are.
    model : str, PathLike or Model, default "rain-16x"
        Name (see :func:`xresdiff.models`), folder, ``.resdiff`` file, package of Earth2Studio or
        NVIDIA, address (``hf://``, ``https://`` and others), or opened model.
    stage : {"both", "mean"}, default "both"
        "mean" gives the regression alone, without members.
    sampler : {"dpmpp_2m", "euler", "heun", "stochastic"} or SamplerCard, optional
        How the residual is drawn; the model's choice by default. A card also sets the range of the
        noise levels and the churn: ``dataclasses.replace(model.card.sampler, churn=10.0)``;
        "stochastic" needs a churn.
    steps : int, optional
        Steps of the sampler; the model's choice by default.
    seed : int, default 0
        Of the noise; the same seed gives the same members.
    device : str, default "auto"
        "cpu", "cuda", "cuda:1" or "mps"; "auto" takes a GPU if there is one.
    precision : {"auto", "float32", "bfloat16"}, default "auto"
        Of the networks; "auto" takes bfloat16 where the device is fast at it, but float32 for
        models whose card says so, as published ones do.
    tile : int or "independent", optional
        Side in fine pixels of the windows that larger fields are run in, blended at every step of
        the sampler; by default that which suits the model's card. "independent" samples every
        window of that size on its own and blends the results once: as costly, and windows may
        disagree.
    overlap : int, optional
        Fine pixels that neighbouring windows share, at most half of a window; by default from the
        model's card.
    chunks : mapping of dimension to int, optional
        Chunks of the result, if it is lazy, which become those of a zarr store. By default, one of
        each dimension, and as many members, up to 16, as make at most 256 MB with all outputs, or
        1 GB where `device` is a GPU by name.
    grid : xarray.Dataset or xarray.DataArray, optional
        Anything on the fine grid that is wanted, such as one from :func:`xresdiff.target_grid`;
        by default the input's own grid, refined. The input is regridded to blocks of it. Models
        with a grid of their own take none.
    regridding : str, optional
        Method of :func:`xresdiff.regrid` for all channels; by default each has its own,
        "conservative" for fluxes and precipitation, "bilinear" for states, and "latlon_bilinear",
        as they were trained, for published models.
    accumulation : str, optional
        The time in which an amount fell, such as "1h", where a rate is needed and no attribute
        tells; "start" for amounts that grow along the steps of a forecast.
    skipna : bool, default False
        Accept missing values. On the input's own grid, the fine pixels of a missing cell are
        missing in the result. Where the input is regridded, to `grid` or to that of a published
        model, it is regridded around them, and what `na_thres` leaves is missing. The networks are
        given the nearest neighbour.
    na_thres : float, default 1
        With `skipna`, the share of the weight of a regridded cell that may be missing: by default
        any value that is not missing is enough, and 0 leaves missing what one of them weighs on.

    Returns
    -------
    xarray.Dataset, (member, ..., y, x)
        The model's outputs in float32, lazy if `ds` is lazy. If `ds` has a realization
        dimension already, the new one is called ``sample``.

    Raises
    ------
    InputError
        If the input does not fit the model or an argument is out of bounds: one message with every
        problem, before anything is computed. Missing values and fill values of a lazy input are
        found when it is computed.
    ModelError
        If the model is unknown or damaged.

    Notes
    -----
    The noise of a field is a function of the seed, of the member, and of the labels of the field:
    its values of the coordinates of all dimensions beside y and x, and of all other times, steps
    and realizations, also where they stand alone, as after ``ds.isel(time=0)``. (Along a dimension
    without a coordinate, places take the part of labels.) So members are the same in
    float32, to 1e-4 of their values, whatever the chunks and whichever times or members are asked
    for with them; and no two times share noise.

    Examples
    --------
    >>> from xresdiff.tutorial import rain_pair
    >>> coarse, truth = rain_pair(shape=(64, 64))
    >>> downscale(coarse, members=2, steps=2).sizes
    Frozen({'member': 2, 'time': 1, 'y': 64, 'x': 64})
    """
    arguments = Arguments(
        members=members,
        stage=stage,
        sampler=sampler,
        steps=steps,
        seed=seed,
        device=device,
        precision=precision,
        tile=tile,
        overlap=overlap,
        chunks=chunks,
        grid=grid,
        regridding=regridding,
        accumulation=accumulation,
        skipna=skipna,
        na_thres=na_thres,
    )
    if not at_hand(model):  # before anything is fetched for nothing
        raise_problems(list(arguments.own_problems()), what=f"downscale with {model}")
    request = check_request(ds, open_model(model), arguments)
    eager = all(ds[name].chunks is None for name in request.variables)
    if not eager or not moves_time(request.card):
        return _ensemble(ds, request, eager=eager)
    # a day is part of the hours of three days: in memory, it would be there all these times
    lazy = ds.chunk(dict.fromkeys(set(request.loop) & set(ds.dims), 1))
    return _ensemble(lazy, request, eager=True).compute()


def _ensemble(ds: xr.Dataset, request: Request, *, eager: bool) -> xr.Dataset:
    """Build the ensemble of what was checked; with `eager`, labels and times are computed first."""
    asked = request.arguments
    chunks = asked.chunks or {}
    timed = on_hours(_without_fields(ds, request), request.card) if moves_time(request.card) else ds
    labels, told = noise_labels(timed, request.loop), moments(timed, request)
    own = labels if timed is ds else noise_labels(ds, request.loop)
    if eager:
        labels, told, own = ([a.compute() for a in some] for some in (labels, told, own))
    labels, own = ([cut(label, chunks) for label in some] for some in (labels, own))
    coarse = at_hours(checked(stacked(ds, request, own, chunks), own, request), ds, request, chunks)
    given = filled(coarse, request) if asked.skipna else coarse
    mean = map_blocks(mean_block, [given, *told], request, padded=True)
    if asked.stage == "mean":
        result = map_blocks(physical_block, [mean, given], request)
    else:
        numbers = xr.DataArray(np.arange(asked.members), dims=request.member)
        cuts = {request.member: member_chunks(request, given)}
        arrays = [numbers, mean, given, *told, *labels]
        result = map_blocks(member_block, arrays, request, chunks=cuts, timed=bool(told))
    if asked.skipna:
        result = masked(result, coarse, request)
    return labelled(result, ds, timed, request, asked.stage)


def _without_fields(ds: xr.Dataset, request: Request) -> xr.Dataset:
    """Leave of the fields only their sizes along the dimensions that are kept."""
    bare = {}
    for name in request.variables:
        sizes = {dim: size for dim, size in ds[name].sizes.items() if dim in request.loop}
        bare[name] = (tuple(sizes), np.broadcast_to(np.zeros((), bool), tuple(sizes.values())))
    return ds.drop_vars(request.variables).assign(bare)

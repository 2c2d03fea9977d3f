"""What users call: fine-tune a model with pairs of Datasets, or train one from nothing."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import xarray as xr

from xresdiff.errors import InputError, raise_problems
from xresdiff.grids.coords import levels
from xresdiff.grids.regrid.make_weights import Method
from xresdiff.models.card import Channel
from xresdiff.models.opening import open_model
from xresdiff.models.package import Model, Stage
from xresdiff.train import history as histories
from xresdiff.train.arguments import Arguments
from xresdiff.train.run import run
from xresdiff.train.variables import name_problems, narrowed

__all__ = ["finetune", "history", "train"]

PRETRAINED = "rain-16x"  # what knows a channel that is asked for, among the models that come along


def finetune(
    coarse: xr.Dataset,
    target: xr.Dataset,
    *,
    model: str | PathLike[str] | Model | None = None,
    stages: Sequence[Stage] = ("mean", "residual"),
    steps: int | Mapping[str, int] | None = None,
    batch_size: int | None = None,
    patch: int | None = None,
    learning_rate: float | None = None,
    validation: float = 0.1,
    residual_pairs: float = 0.0,
    out: str | PathLike[str] = "run",
    device: str = "auto",
    precision: str = "auto",
    seed: int = 0,
    inputs: Sequence[str | Channel] | None = None,
    outputs: Sequence[str | Channel] | None = None,
    static: xr.Dataset | xr.DataArray | None = None,
    extras: Sequence[str] = (),
    normalisation: Literal["model", "data"] = "model",
    global_residual: bool | None = None,
    conserve: Sequence[str] | None = None,
    freeze: Sequence[str] = (),
    weights: Mapping[str, float] | None = None,
    regridding: Method | None = None,
    accumulation: str | None = None,
    augment: bool | None = None,
    patience: int | None = 8,
    cache: bool = True,
    name: str | None = None,
) -> Model:
    """Go on training a model with your own pairs: your region, your variables, your data.

    Both stages are trained: the mean by its squared error, then the residual by the denoising loss
    on what the new mean leaves, whose standard deviation is measured (Mardani et al., 2025,
    doi:10.1038/s43247-025-02042-5; Karras et al., 2022, arXiv 2206.00364).

    Parameters
    ----------
    coarse : xarray.Dataset, (..., Y, X)
        Inputs, lazy or not, of any size. Pixels under missing values do not count.
    target : xarray.Dataset, (..., y, x)
        What the model should have given. Missing values do not count. Fields are paired by their
        labels along time and every other dimension, and those without a partner are left out;
        forecasts of one lead time by the time that they are for, their ``valid_time``. If
        the grid is not that of `coarse`, refined, `coarse` is regridded to it as
        :func:`xresdiff.downscale` does.
    model : str, PathLike or Model, optional
        Where to begin; see :func:`xresdiff.open_model`. By default "rain-16x", if it knows one of
        the variables. Networks keep what they know of channels that they have; those that are new
        begin at zero, so that they do no harm.
    stages : sequence of {"mean", "residual"}
        Which of the two are trained; the other stays as it is.
    steps : int or mapping of stage to int, optional
        Optimiser steps of each stage; by default what suits the data and the device, which is
        told before it starts.
    batch_size : int, optional
        Patches of a step, on all devices together.
    patch : int, optional
        Side of a patch in fine pixels; the model's own by default.
    learning_rate : float, optional
        Peak of the learning rate.
    validation : float, default 0.1
        Share of the fields, the last ones, that are kept to choose the best weights.
    residual_pairs : float, default 0
        Share of the other fields, their last ones, that the mean stage does not see and the
        residual stage alone learns from. Where fields are few, a mean leaves less of those that it
        learned from than of others, and a residual that is learned of them has too little spread;
        a warning says so.
    out : str or PathLike, default "run"
        Folder of the run. The same call goes on with a run that was stopped, however it was
        stopped; another call, or other data, needs another folder. Of lazy data with more than 64
        pairs, 64 are looked at to tell that they are the same.
    device, precision : str, default "auto"
        As of :func:`xresdiff.downscale`. Under ``torchrun``, each process takes its own GPU.
    seed : int, default 0
        Of patches, noise and new weights.
    inputs, outputs : sequence of str or Channel, optional
        Which variables of `coarse` and `target`; by default all that run along the grid. A
        :class:`xresdiff.Channel` also says how a variable is transformed and bounded.
    static : xarray.Dataset or xarray.DataArray, (y, x), optional
        Fields of the target that the networks are told, such as orography and the land mask. The
        model then works in this region only.
    extras : sequence of str, default ()
        Also told: any of "day_of_year", "hour", "solar_zenith", "latitude"; in this region only.
    normalisation : {"model", "data"}, default "model"
        Whether variables that the model knows keep its mean and standard deviation, or are given
        those of the data. New variables always have those of the data.
    global_residual : bool, optional
        Whether the mean stage predicts the difference from the interpolated input, for variables
        that are both input and output; as the model does by default. Its weights were learned the
        one way: after a change the mean has to be learned anew.
    conserve : sequence of str, optional
        Non-negative variables whose block means are to equal the input; by default those of the
        model, () for none.
    freeze : sequence of str, default ()
        Parts of the networks that stay as they are: "encoder", "decoder", "embedding", "first",
        "last", or patterns of names of parameters.
    weights : mapping of str to float, optional
        What the errors of a variable count, 1 by default.
    regridding : str, optional
        As of :func:`xresdiff.downscale`.
    accumulation : str, optional
        As of :func:`xresdiff.downscale`, of both Datasets.
    augment : bool, optional
        Flip and transpose the patches at random; by default for models of rain alone, which
        has no preferred direction, on a refined grid.
    patience : int, optional
        Validations without a better score after which a stage stops; None goes on to the end.
    cache : bool, default True
        Keep regridded fields in the folder of the run, if they do not fit into memory and the disk
        has room.
    name : str, optional
        Of the new model; that of the old one and "-tuned" by default.

    Returns
    -------
    Model
        Ready for ``downscale(model=...)``; it is in ``<out>/model``.

    Raises
    ------
    InputError
        If the pairs do not fit one another, or an argument is out of bounds: one message with
        every problem. If `out` holds a run of something else. If the training diverges even at a
        quarter of the learning rate.
    ModelError
        If the model is unknown or damaged.

    Examples
    --------
    >>> from xresdiff.tutorial import rain_pair
    >>> coarse, target = rain_pair(times=4, shape=(128, 128))
    >>> model = finetune(coarse, target, steps=2000, out="run")  # doctest: +SKIP
    """
    arguments = Arguments(
        stages=stages,  # type: ignore[arg-type]  # lists become tuples, others are told of
        steps=steps,
        batch_size=batch_size,
        patch=patch,
        learning_rate=learning_rate,
        validation=validation,
        residual_pairs=residual_pairs,
        device=device,
        precision=precision,
        seed=seed,
        inputs=inputs,
        outputs=outputs,
        static=static,
        extras=extras,
        normalisation=normalisation,
        global_residual=global_residual,
        conserve=conserve,
        freeze=freeze,  # type: ignore[arg-type]
        weights=weights,
        regridding=regridding,
        accumulation=accumulation,
        augment=augment,
        patience=patience,
        cache=cache,
        name=name,
    )
    coarse, target = _narrowed(coarse, inputs), _narrowed(target, outputs)
    return run(coarse, target, arguments, _start(model, target), out)


def train(
    coarse: xr.Dataset,
    target: xr.Dataset,
    *,
    network: str | Mapping[str, object] = "auto",
    steps: int | Mapping[str, int] | None = None,
    batch_size: int | None = None,
    patch: int | None = None,
    learning_rate: float | None = None,
    validation: float = 0.1,
    residual_pairs: float = 0.0,
    out: str | PathLike[str] = "run",
    device: str = "auto",
    precision: str = "auto",
    seed: int = 0,
    inputs: Sequence[str | Channel] | None = None,
    outputs: Sequence[str | Channel] | None = None,
    static: xr.Dataset | xr.DataArray | None = None,
    extras: Sequence[str] = (),
    global_residual: bool | None = None,
    conserve: Sequence[str] | None = None,
    weights: Mapping[str, float] | None = None,
    regridding: Method | None = None,
    accumulation: str | None = None,
    augment: bool | None = None,
    patience: int | None = 8,
    cache: bool = True,
    name: str = "mine",
) -> Model:
    """Train a model from nothing with your own pairs of fields.

    Parameters
    ----------
    coarse, target
        As of :func:`finetune`.
    network : {"auto", "small", "medium", "large"} or mapping, default "auto"
        Size of the networks; "auto" is small on a CPU, medium on a GPU. A mapping holds fields of
        :class:`xresdiff.nets.config.UNetConfig`, for both stages.
    steps, batch_size, patch, learning_rate, validation, residual_pairs
        As of :func:`finetune`.
    out, device, precision, seed
        As of :func:`finetune`.
    inputs, outputs, static, extras
        As of :func:`finetune`.
    global_residual : bool, optional
        Whether the mean stage predicts the difference from the interpolated input, for variables
        that are both input and output (arXiv 2512.05377); by default where that difference is
        smaller than the variable's own deviation from its mean.
    conserve : sequence of str, optional
        Non-negative variables whose block means are to equal the input; by default rain whose
        block means do so in the data.
    weights, regridding, accumulation, augment, patience, cache
        As of :func:`finetune`.
    name : str, default "mine"
        Of the model.

    Returns
    -------
    Model
        Ready for ``downscale(model=...)``; it is in ``<out>/model``.

    Raises
    ------
    InputError
        As of :func:`finetune`.

    Examples
    --------
    >>> from xresdiff.tutorial import rain_pair
    >>> coarse, target = rain_pair(times=8, shape=(256, 256))
    >>> model = train(coarse, target, out="run")  # doctest: +SKIP
    """
    arguments = Arguments(
        steps=steps,
        batch_size=batch_size,
        patch=patch,
        learning_rate=learning_rate,
        validation=validation,
        residual_pairs=residual_pairs,
        device=device,
        precision=precision,
        seed=seed,
        inputs=inputs,
        outputs=outputs,
        static=static,
        extras=extras,
        global_residual=global_residual,
        conserve=conserve,
        weights=weights,
        network=network,
        regridding=regridding,
        accumulation=accumulation,
        augment=augment,
        patience=patience,
        cache=cache,
        name=name,
    )
    coarse, target = _narrowed(coarse, inputs), _narrowed(target, outputs)
    return run(coarse, target, arguments, None, out)


def history(out: str | PathLike[str] = "run") -> xr.Dataset:
    """Read how a training goes, or went.

    Parameters
    ----------
    out : str or PathLike, default "run"
        Folder of the run.

    Returns
    -------
    xarray.Dataset, (stage, step)
        Learning rate, losses, scores of the validations and seconds; NaN where a stage was not
        validated. ``.resdiff.plot.history()`` draws it.

    Raises
    ------
    InputError
        If there is no run.
    """
    return histories.read(out)


def _narrowed(ds: Any, asked: Sequence[str | Channel] | None) -> Any:
    """Leave out what is on other grids than what is asked for; what is no Dataset is told later."""
    return narrowed(ds, asked) if isinstance(ds, xr.Dataset) else ds


def _start(model: str | PathLike[str] | Model | None, target: xr.Dataset) -> Model:
    """Open the model to begin with; the one that comes along if nothing else is said."""
    if model is not None:
        return open_model(model)
    known = open_model(PRETRAINED)
    if isinstance(target, xr.Dataset):
        raise_problems(list(name_problems("target", target)), what="fine-tune")
        found = [c for c in known.card.outputs if levels.find_channel(target, c) is not None]
        if not found:
            have = ", ".join(map(repr, target.data_vars)) or "no variables"
            raise InputError(
                f"cannot fine-tune: the target has {have}, none of which {PRETRAINED} knows. Begin "
                "from another model, finetune(target, model=...), or from nothing: train(target)"
            )
    return known

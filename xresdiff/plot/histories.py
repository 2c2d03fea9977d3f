"""The figure of a training: losses and scores against steps."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.plot.colours import BLUE, OTHERS
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["history"]

SCORE = "crps_of_means"  # by which the residual stage is chosen
PANEL = (3.6, 3.0)  # inches
SCORES = {"crps_of_means": "CRPS / standard deviation", "spread_skill": "spread/skill"}


def history(ds: Data, *, figsize: tuple[float, float] | None = None) -> "Figure":
    """Show how a training goes: the losses of each stage, then the scores of its ensembles.

    Parameters
    ----------
    ds : xarray.Dataset, (stage, step)
        From :func:`xresdiff.history`.
    figsize : tuple of float, optional
        Width and height of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        The grey line is the weights that were kept: those of the best validation.

    Raises
    ------
    InputError
        If it is no history.

    Examples
    --------
    >>> losses = (("stage", "step"), np.array([[1.0, 0.4, 0.5]]))
    >>> ds = xr.Dataset({"validation_loss": losses}, {"stage": ["mean"], "step": [0, 10, 20]})
    >>> len(history(ds).axes)
    1
    """
    import matplotlib.pyplot as plt

    if (
        not isinstance(ds, xr.Dataset)
        or "validation_loss" not in ds
        or set(ds["validation_loss"].dims) != {"stage", "step"}
    ):
        raise InputError(
            "this is no history of a training; read one: xresdiff.history('run').resdiff.plot"
            ".history()"
        )
    scores = [name for name in SCORES if name in ds and bool(ds[name].notnull().any())]
    panels = [*ds["stage"].values.tolist(), *scores]
    size = figsize or (PANEL[0] * len(panels), PANEL[1])
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    for ax, panel in zip(axes[0], panels, strict=True):
        if panel in scores:
            _score(ax, ds, panel)
        else:
            _losses(ax, ds.sel(stage=panel))
        ax.set_xlabel("step")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="0.92")
        ax.set_axisbelow(True)
    return figure


def _losses(ax: "Axes", ds: xr.Dataset) -> None:
    """Draw the losses of one stage."""
    styles = {"training_loss": ("training", OTHERS[0]), "validation_loss": ("validation", BLUE)}
    for name, (text, color) in styles.items():
        if name in ds:
            loss = ds[name].dropna("step")
            ax.plot(loss["step"], loss, color=color, lw=1.6, label=text)
    scored = SCORE in ds and bool(ds[SCORE].notnull().any())
    score = ds[SCORE if scored else "validation_loss"]
    _kept(ax, score.sel(step=score["step"] > 0) if scored else score)
    ax.set_yscale("log")
    ax.set_title(f"{ds['stage'].item()} stage", loc="left", size="medium")
    ax.set_ylabel("loss")
    ax.legend(frameon=False)


def _score(ax: "Axes", ds: xr.Dataset, name: str) -> None:
    """Draw a score of the small ensembles of the validations."""
    for stage, of_stage in ds[name].groupby("stage"):
        score = of_stage.squeeze("stage").dropna("step") if "stage" in of_stage.dims else of_stage
        if score.size:
            ax.plot(score["step"], score, color=BLUE, lw=1.6, label=str(stage))
    if name == "spread_skill":
        ax.axhline(1.0, color="black", ls="--", lw=1)
    else:
        score = ds[SCORE].max("stage")
        _kept(ax, score.sel(step=score["step"] > 0))
        ax.legend(frameon=False)
    ax.set_title(SCORES[name], loc="left", size="medium")


def _kept(ax: "Axes", score: xr.DataArray) -> None:
    """Mark the step of the best validation."""
    known = score.dropna("step")
    if known.size:
        best = float(known["step"][int(np.argmin(known.values))])
        ax.axvline(best, color="0.7", lw=1, label="kept")

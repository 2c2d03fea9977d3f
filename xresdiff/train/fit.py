"""Both stages of a training, one after the other, and the model out of them.

First a regression learns the mean by its squared error, then a diffusion model learns what the
mean leaves (Mardani et al., 2025, arXiv 2309.15214). One loop serves both:
:func:`xresdiff.train.loop.fit`.
"""

import logging
from dataclasses import dataclass, field, replace
from math import prod
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from xresdiff.engine.missing import fill_block
from xresdiff.engine.runtime import Runtime, pick_dtype
from xresdiff.errors import InputError, XresdiffError, raise_problems
from xresdiff.models.card import FixedTarget
from xresdiff.models.package import Model, open_package, write_package
from xresdiff.models.package import Stage as StageName
from xresdiff.nets.unet import UNet
from xresdiff.train import checkpoint
from xresdiff.train.batches import Draws, Patches
from xresdiff.train.devices import Devices
from xresdiff.train.encoding import Encoding
from xresdiff.train.folder import MODEL
from xresdiff.train.grown import frozen, frozen_problems
from xresdiff.train.loop import fit
from xresdiff.train.patches import PairedPatches
from xresdiff.train.readers import Reader
from xresdiff.train.recipe import Recipe
from xresdiff.train.reports import logged
from xresdiff.train.stages import MeanStage, NoiseLevels, ResidualStage, measure, network
from xresdiff.train.validation import Validation

__all__ = ["Recipes", "fit_model"]

OVERFITTED = 1.25  # times the residual of the training pairs, that of others
RESIDUAL_SCORE = "crps_of_means"  # that is to be small
MEANS_AT_MOST = 2**31  # bytes of means that are kept in memory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipes:
    """How the two stages are trained.

    Parameters
    ----------
    mean, residual : Recipe
        Of each stage.
    noise : NoiseLevels
        The noise levels that the residual stage learns at.
    stages : tuple of str, default ("mean", "residual")
        Those that are trained; the other one stays as it is.
    freeze : tuple of str, default ()
        Parts of the networks that stay as they are; see :func:`xresdiff.train.grown.frozen`.
    weights : tuple of float, default ()
        What the errors of each output count; all the same by default.
    """

    mean: Recipe = field(default_factory=Recipe)
    residual: Recipe = field(default_factory=Recipe)
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    stages: tuple[StageName, ...] = ("mean", "residual")
    freeze: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()


def fit_model(
    start: Model,
    training: Patches,
    validation: Patches,
    *,
    residual_training: Patches | None = None,
    recipes: Recipes,
    out: str | PathLike[str],
    device: str | Devices = "auto",
    precision: str = "auto",
) -> Model:
    """Train the stages of a model on patches; the same call continues a run that was stopped.

    Parameters
    ----------
    start : Model
        What to begin with: card, grid and weights, fresh or not
        (:func:`xresdiff.train.grown.initial_weights`).
    training, validation : Patches
        Where batches come from, in physical units.
    residual_training : Patches, optional
        Those that the residual stage learns from, if other ones.
    recipes : Recipes
        Which stages, how long, how fast, at which noise levels.
    out : str or PathLike
        Folder of the run: checkpoints, ``history.json``, ``log.txt``, and the model in ``model/``.
    device : str or Devices, default "auto"
        As of :func:`xresdiff.downscale`; or several of them.
    precision : str, default "auto"
        As of :func:`xresdiff.downscale`.

    Returns
    -------
    Model
        With the averaged weights of the best validation. The scale of the residual is measured.

    Raises
    ------
    InputError
        If what is frozen matches nothing, or leaves nothing to learn. As of
        :func:`xresdiff.train.loop.fit`.
    """
    devices = device if isinstance(device, Devices) else Devices.here(device)
    run = Path(out)
    run.mkdir(parents=True, exist_ok=True)
    with logged(run, devices):
        whole = _Fit(start, training, validation, recipes, run, devices, precision)
        return whole.model(residual_training or training)


class _Fit:
    """A training of both stages, on its way."""

    def __init__(
        self,
        start: Model,
        training: Patches,
        validation: Patches,
        recipes: Recipes,
        run: Path,
        devices: Devices,
        precision: str,
    ) -> None:
        self.start, self.recipes, self.run, self.devices = start, recipes, run, devices
        self.training, self.validation = training, validation
        card = start.card.precision if precision == "auto" else precision
        self.dtype = pick_dtype(card, devices.device)
        self.encoding = Encoding(start, devices.device)

    def model(self, residual_training: Patches) -> Model:
        """Train what is asked for, and write the model."""
        card, recipes = self.start.card, self.recipes
        raise_problems(
            frozen_problems(card, recipes.stages, recipes.freeze), what=f"train {card.name}"
        )
        mean = MeanStage(
            self.encoding, self._network("mean"), dtype=self.dtype, weights=self.recipes.weights
        )
        if "mean" in self.recipes.stages:
            self._fit(mean, self.recipes.mean, score="validation_loss")
        mean.net.eval().requires_grad_(False)
        self.training = residual_training
        residual_net = self._network("residual")
        scale = self._learn_residual(mean, residual_net)
        return self._written(mean.net, residual_net, scale)

    def _network(self, stage: StageName) -> UNet:
        net = network(self.start, stage, self.devices.device)
        frozen(net, self.recipes.freeze)
        return net

    def _learn_residual(self, mean: MeanStage, net: UNet) -> tuple[float, ...]:
        """Measure what the mean leaves, and train its diffusion if that is asked for."""
        scale = self.devices.lead(lambda: self._scale_before(mean.net))
        if not scale:
            self.training, self.validation = self._with_means(mean.net)
            scale = self._measured(mean)
        if "residual" not in self.recipes.stages:
            return scale
        stage = ResidualStage(
            self.encoding,
            net,
            mean,
            dtype=self.dtype,
            weights=self.recipes.weights,
            levels=self.recipes.noise,
            scale=scale,
        )
        self._fit(stage, self.recipes.residual, score=RESIDUAL_SCORE)
        return scale

    def _measured(self, mean: MeanStage) -> tuple[float, ...]:
        """Measure what the mean leaves, and warn if it leaves more of what it has not seen."""
        recipe = self.recipes.residual
        draws = Draws(
            self.training, "scale", recipe.seed, recipe.batch_size, recipe.patch, recipe.per_field
        )
        scale = self.devices.lead(lambda: measure(self.encoding, mean, draws))
        log.info("the residual is measured: its scale is %s", scale)
        other = replace(draws, patches=self.validation)
        unseen = self.devices.lead(lambda: measure(self.encoding, mean, other, batches=4))
        _warn_of_narrowness(scale, unseen)
        return scale

    def _scale_before(self, mean: UNet) -> tuple[float, ...]:
        """Return the scale of this model if it is finished already; nothing if it is not."""
        try:
            made = open_package(self.run / MODEL, source="")
            weights = made.weights("mean")
        except XresdiffError:
            return ()
        card = self.start.card
        stage = replace(made.card.residual, scale=card.residual.scale)
        same = replace(made.card, residual=stage, files={}) == replace(card, files={})
        now = _arrays(mean)
        same = same and all(np.array_equal(value, now[name]) for name, value in weights.items())
        done = "residual" not in self.recipes.stages or self._residual_is_learned()
        return made.card.residual.scale if same and done else ()

    def _residual_is_learned(self) -> bool:
        """Tell whether the checkpoint of the residual is that of a stage that is finished."""
        state = checkpoint.load(self.run / "residual.pt")
        if state is None:
            return False
        scores = [row[RESIDUAL_SCORE] for row in state["history"] if row["step"] > 0]
        return self.recipes.residual.finished(state["step"], scores)

    def _fit(self, stage: MeanStage | ResidualStage, recipe: Recipe, *, score: str) -> None:
        """Train a stage and leave the best averaged weights in its network."""
        noisy = isinstance(stage, ResidualStage)

        def draws(patches: Patches, name: str) -> Draws:
            return Draws(
                patches,
                name,
                recipe.seed,
                recipe.batch_size,
                recipe.patch,
                recipe.per_field,
                noisy=noisy,
            )

        weights, _ = fit(
            stage,
            draws(self.training, stage.name),
            Validation(stage, draws(self.validation, f"{stage.name} validation")),
            recipe,
            self.run,
            devices=self.devices,
            score=score,
        )
        stage.net.load_state_dict(weights)
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            raise InputError(
                f"the weights of the {stage.name} stage are not finite; train in another folder "
                f"with a lower learning rate: learning_rate={recipe.learning_rate / 10:g}"
            )

    def _with_means(self, net: UNet) -> tuple[Patches, Patches]:
        """Compute the mean of every field once, as inference does, if that pays.

        It does where patches show most pixels several times. Each process computes all of them and
        keeps them in memory.
        """
        training, validation = self.training, self.validation
        recipe = self.recipes.residual
        if not (isinstance(training, PairedPatches) and isinstance(validation, PairedPatches)):
            return training, validation
        reader = training.reader
        pixels = reader.n * prod(reader.fine_shape)
        shown = min(recipe.patch**2, prod(reader.fine_shape))
        pays = recipe.steps * recipe.batch_size * shown > pixels
        size = pixels * len(self.start.card.outputs) * 4
        beyond = isinstance(self.start.card.target, FixedTarget) and self.start.card.target.padding
        if not pays or size > MEANS_AT_MOST or reader is not validation.reader or beyond:
            return training, validation  # the network also gives the mean beyond the edges
        picks = np.union1d(training.picks, validation.picks)
        means = self._means(net, reader, picks)
        return replace(training, means=means), replace(validation, means=means)

    def _means(self, net: UNet, reader: Reader, picks: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the encoded mean of fields, (n, k, y, x); zero where it is not needed."""
        with TemporaryDirectory() as folder:
            model = self._package(Path(folder) / "model", net, self._network("residual"), ())
            runtime = Runtime(model, self.devices.device, self.dtype)
        shape = (reader.n, len(self.start.card.outputs), *reader.fine_shape)
        means = np.zeros(shape, np.float32)
        everything = slice(None)
        for i in picks:
            coarse, _ = reader.read(int(i), everything, everything)
            mean = runtime.mean(fill_block(coarse)[None], reader.moments[[i]])
            means[i] = runtime.domain.result(torch.from_numpy(mean))[0].numpy()
        log.info("the means of %d fields are computed, once for all patches", len(picks))
        return means

    def _written(self, mean: UNet, residual: UNet, scale: tuple[float, ...]) -> Model:
        """Write the model, once for all processes."""
        path = self.run / MODEL
        self.devices.lead(lambda: self._package(path, mean, residual, scale).sha256)
        return open_package(path, source=str(path.absolute()))

    def _package(self, path: Path, mean: UNet, residual: UNet, scale: tuple[float, ...]) -> Model:
        card, target = self.start.card, self.start.card.target
        grid = self.start.read(target.grid) if isinstance(target, FixedTarget) else None
        card = replace(card, residual=replace(card.residual, scale=scale), files={})
        weights: dict[StageName, dict[str, NDArray[np.float32]]]
        weights = {"mean": _arrays(mean), "residual": _arrays(residual)}
        return write_package(path, card, weights, grid=grid)


def _warn_of_narrowness(seen: tuple[float, ...], unseen: tuple[float, ...]) -> None:
    """Warn if the mean leaves much less of fields that the residual is learned from."""
    ratio = float(np.median(np.divide(unseen, seen)))
    if ratio > OVERFITTED:
        log.warning(
            "the mean leaves %.2g times as much of the validation pairs as of those that the "
            "residual is learned from, so the members will differ too little: keep some pairs for "
            "the residual alone, residual_pairs=0.4",
            ratio,
        )


def _arrays(net: UNet) -> dict[str, NDArray[np.float32]]:
    return {name: value.float().cpu().numpy() for name, value in net.state_dict().items()}

"""How good a stage is on data that it does not learn from: losses, and a small ensemble."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xresdiff.engine.batches import PIXELS_AT_ONCE, memory_ran_out
from xresdiff.engine.runtime import pick_state, sampled
from xresdiff.models.card import SamplerCard
from xresdiff.train.batches import Batch, Draws, joined
from xresdiff.train.stages import MeanStage, ResidualStage
from xresdiff.verify.kernels import crps, mean, power_spectrum, variance

__all__ = ["Scores", "Validation"]

Array: TypeAlias = NDArray[np.floating[Any]]
Scores: TypeAlias = dict[str, float]
T = TypeVar("T")

LEVELS = (
    0.02,
    0.1,
    0.5,
    1.0,
    5.0,
)  # noise levels of which the loss is told, in units of sigma_data
FIRST_STEP = 2**31  # of the batches: beyond all steps of a training
SIDES = (1, 2, 4, 8)  # pixels, of blocks whose means are scored
TINY = 1e-30
ROUNDING = 1e-6  # a deviation of this share of the largest value is none
NOISE = 3  # tells the noise of members from all else that is drawn by the seed


@dataclass(frozen=True)
class Validation:
    """Scores of a network, the same for the same network every time.

    Parameters
    ----------
    stage : MeanStage or ResidualStage
        What is trained.
    draws : Draws
        Of the validation data; with noise for the residual.
    batches : int, default 8
        How many the loss is averaged over; the losses at single noise levels take a quarter.
    patches : int, default 8
        Of how many patches members are drawn.
    members : int, default 8
        Of each; less than 2 draws none.
    sampler : SamplerCard, optional
        By default the card's.
    pixels : int, optional
        How many go through a network at once; by default a quarter of what inference begins with.

    Examples
    --------
    A validation is called with a network, such as one with averaged weights::

        validate = Validation(stage, Draws(patches, "validation", 0, 16, 128, noisy=True))
        validate(stage.net)["validation_loss"]
    """

    stage: MeanStage | ResidualStage
    draws: Draws
    batches: int = 8
    patches: int = 8
    members: int = 8
    sampler: SamplerCard | None = None
    pixels: int | None = None

    def __call__(self, net: nn.Module) -> Scores:
        """Score a network, in eval mode.

        Parameters
        ----------
        net : torch.nn.Module
            Of the shape of the stage's.

        Returns
        -------
        dict of str to float
            "validation_loss": mean over the outputs' pixels of what the stage minimises. Of the
            mean stage also "mae". Of the residual stage "loss_at_0.02" and so on: the loss, not
            weighted by output, at noise levels in units of sigma_data; and of a small ensemble
            "crps" (fair), "crps_of_means" (the same, averaged over blocks of 1, 2, 4 and 8 pixels
            along a side: a single pixel does not tell noise from texture), "mae_mean" (the CRPS of
            the mean alone), "spread_skill" (1 is perfect) and "spectral_distance" (dB; NaN if no
            patch is complete). CRPS and errors are those of
            physical values in units of the standard deviation of the target, and averaged over
            the outputs that vary at all.
        """
        training = net.training
        net.eval()
        try:
            with torch.inference_mode():
                return self._scores(net)
        finally:
            net.train(training)

    def _scores(self, net: nn.Module) -> Scores:
        if isinstance(self.stage, MeanStage):
            return {"validation_loss": self._loss(net), "mae": self._mae(self.stage, net)}
        scores = {"validation_loss": self._loss(net), **self._levels(self.stage, net)}
        if self.members > 1:
            scores |= self._ensemble(self.stage, net)
        return scores

    @cached_property
    def _batches(self) -> list[Batch]:
        """The batches, with the mean that the residual is of."""
        drawn = [self.draws.batch(FIRST_STEP + number) for number in range(self.batches)]
        if isinstance(self.stage, MeanStage):
            return drawn
        return [self._with_mean(self.stage, batch) for batch in drawn]

    @cached_property
    def _few(self) -> Batch:
        """The patches that members are drawn of."""
        return joined(self._batches).part(slice(self.patches))

    def _with_mean(self, stage: ResidualStage, batch: Batch) -> Batch:
        def some(picked: slice) -> NDArray[np.float32]:
            tensors = stage.encoding.tensors(batch.part(picked))
            return stage.encoding.inner(stage.mean(tensors), tensors).cpu().numpy()

        target = stage.encoding.card.target
        if batch.mean is not None or (target.kind == "fixed" and target.padding is not None):
            return batch  # the network also gives the mean beyond the edges
        return replace(batch, mean=np.concatenate(self._each(some, batch)))

    def _loss(self, net: nn.Module) -> float:
        total, weight = 0.0, 0.0
        for batch in self._batches:
            total += sum(self._each(_losses(self.stage, net, batch), batch))
            weight += float(batch.weight.sum(dtype=np.float64))
        return total / max(weight, 1.0)

    def _levels(self, stage: ResidualStage, net: nn.Module) -> Scores:
        """Return the loss at fixed noise levels, every output counting the same."""
        plain, totals, weight = stage.unweighted(), np.zeros(len(LEVELS)), 0.0
        for batch in self._batches[: max(self.batches // 4, 1)]:
            totals += np.sum(self._each(_at_levels(plain, net, batch), batch), axis=0)
            weight += float(batch.weight.sum(dtype=np.float64))
        losses = totals / max(weight, 1.0)
        return {f"loss_at_{at:g}": float(loss) for at, loss in zip(LEVELS, losses, strict=True)}

    def _mae(self, stage: MeanStage, net: nn.Module) -> float:
        few, encoding = self._few, stage.encoding

        def some(picked: slice) -> NDArray[np.float32]:
            tensors = encoding.tensors(few.part(picked))
            fields = encoding.inner(stage.mean(tensors, net), tensors)
            return encoding.decode(fields, tensors).cpu().numpy()

        return _crps(np.concatenate(self._each(some, few))[:, None], few)

    def _ensemble(self, stage: ResidualStage, net: nn.Module) -> Scores:
        few = self._few
        means, members = self._drawn(stage, net)
        return {
            "crps": _crps(members, few),
            "crps_of_means": _crps_of_means(members, few),
            "mae_mean": _crps(means[:, None], few),
            "spread_skill": _spread_skill(members, few),
            "spectral_distance": _spectral_distance(members, few),
        }

    def _drawn(self, stage: ResidualStage, net: nn.Module) -> tuple[Array, Array]:
        """Return the physical mean, (n, k, y, x), and members, (n, m, k, y, x), of patches."""
        encoding, few, m = stage.encoding, self._few, self.members
        repeated = _picked(few, np.repeat(np.arange(len(few)), m))
        sampler, state = self.sampler or encoding.card.sampler, self._state(stage)

        def some(picked: slice) -> NDArray[np.float32]:
            tensors = encoding.tensors(repeated.part(picked))
            center = stage.mean(tensors)

            def noise(draw: int) -> Tensor:
                numbers = range(*picked.indices(len(repeated)))
                fields = [self._noise(number, draw, center.shape[1:]) for number in numbers]
                return torch.from_numpy(np.stack(fields)).to(center.device, state)

            drawn = sampled(sampler, stage.denoiser(tensors, center, net), noise).float()
            pair = (center, center + drawn * stage.scale)
            shown = [encoding.decode(encoding.inner(each, tensors), tensors) for each in pair]
            return torch.stack(shown, dim=1).cpu().numpy()

        done = np.concatenate(self._each(some, repeated))
        return done[::m, 0], done[:, 1].reshape(len(few), m, *done.shape[2:])

    def _state(self, stage: ResidualStage) -> torch.dtype:
        return pick_state(stage.encoding.card, stage.encoding.device)

    def _noise(self, number: int, draw: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return standard normal numbers of a member; those of all patches are counted together."""
        rng = np.random.default_rng([self.draws.seed, NOISE, number, draw])
        return rng.standard_normal(tuple(shape), dtype=np.float32)

    def _each(self, some: Callable[[slice], T], batch: Batch) -> list[T]:
        """Call `some` on slices of a batch; halve them whenever memory runs out."""
        device = self.stage.encoding.device
        pixels = self.pixels or PIXELS_AT_ONCE[device.type] // 4
        size = max(pixels // (batch.fine.shape[-2] * batch.fine.shape[-1]), 1)
        results: list[T] = []
        done = 0
        while done < len(batch):
            try:
                results.append(some(slice(done, min(done + size, len(batch)))))
                done += size
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not memory_ran_out(error):
                    raise
                size //= 2
        return results


def _losses(
    stage: MeanStage | ResidualStage, net: nn.Module, batch: Batch
) -> Callable[[slice], float]:
    return lambda picked: float(stage.loss(batch.part(picked), net))


def _at_levels(
    stage: ResidualStage, net: nn.Module, batch: Batch
) -> Callable[[slice], NDArray[np.float64]]:
    """Return what gives the loss of a slice of a batch at every noise level."""

    def some(picked: slice) -> NDArray[np.float64]:
        noisy = stage.noisy(batch.part(picked))
        sigmas = [torch.full_like(noisy.sigma, at * stage.sigma_data) for at in LEVELS]
        return np.array([float(stage.error(replace(noisy, sigma=s), net)) for s in sigmas])

    return some


def _seen(members: Array, batch: Batch) -> Iterator[tuple[Array, Array, float]]:
    """Yield of every output that varies what is known: members (p, m), target (p,), deviation."""
    parts = []
    for k in range(batch.fine.shape[1]):
        known = batch.weight[:, k] > 0
        target = batch.fine[:, k][known]
        if len(target):
            deviation = float(target.std(dtype=np.float64))
            deviation = deviation if deviation > ROUNDING * np.abs(target).max() else 0.0
            parts.append((np.moveaxis(members[:, :, k], 1, -1)[known], target, deviation))
    varied = [part for part in parts if part[2] > 0]
    yield from varied or [(ens, target, 1.0) for ens, target, _ in parts]


def _crps(members: Array, batch: Batch) -> float:
    """Return the fair CRPS in deviations of the target; of a single member, its mean error."""
    fair = members.shape[1] > 1
    return _averaged(
        float(crps(ens, target, fair=fair).mean()) / deviation
        for ens, target, deviation in _seen(members, batch)
    )


def _crps_of_means(members: Array, batch: Batch) -> float:
    """Return the CRPS averaged over blocks of several sides, of those that are known anywhere."""
    scores = [_crps(*_block_means(members, batch, side)) for side in _sides(batch)]
    return _averaged(score for score in scores if np.isfinite(score))


def _sides(batch: Batch) -> Iterator[int]:
    """Yield the sides of the blocks whose means are scored, single pixels first."""
    yield from (side for side in SIDES if min(batch.fine.shape[-2:]) >= 2 * side)


def _block_means(members: Array, batch: Batch, side: int) -> tuple[Array, Batch]:
    """Return the means of members and target over what is known of blocks, half of it at least."""
    height, width = (n // side * side for n in batch.fine.shape[-2:])
    known = batch.weight > 0

    def mean_of(fields: NDArray[Any], where: NDArray[Any]) -> Array:
        fields, where = fields[..., :height, :width], where[..., :height, :width]
        shape = (*fields.shape[:-2], height // side, side, width // side, side)
        chosen = np.broadcast_to(where, fields.shape).reshape(shape)
        values = np.where(chosen, fields.reshape(shape), 0.0)
        total = values.sum(axis=(-3, -1), dtype=np.float64)
        return total / np.maximum(chosen.sum(axis=(-3, -1)), 1)

    share = mean_of(known, np.ones_like(known))
    drawn = mean_of(members, known[:, None])
    fine = mean_of(batch.fine, known)
    return drawn, replace(batch, fine=fine, weight=(share >= 0.5).astype(np.float32))


def _spread_skill(members: Array, batch: Batch) -> float:
    """Return the spread, corrected for few members, over the error of their mean."""
    m, ratios = members.shape[1], []
    for ens, target, _ in _seen(members, batch):
        spread = float(variance(ens).mean()) * (m + 1) / m
        error = float(((mean(ens) - target) ** 2).mean())
        ratios.append(np.sqrt(spread / max(error, TINY)))
    return _averaged(ratios)


def _spectral_distance(members: Array, batch: Batch) -> float:
    """Return the difference (dB) of the spectra of members and target, of complete patches."""
    distances = []
    rows, columns = _inside(batch.weight)
    fine, drawn_of = batch.fine[..., rows, columns], members[..., rows, columns]
    for k in range(batch.fine.shape[1]):
        complete = (batch.weight[:, k, rows, columns] > 0).all(axis=(-2, -1))
        if not complete.any():
            continue
        truth = power_spectrum(fine[complete, k]).mean(axis=0)
        drawn = power_spectrum(drawn_of[complete, :, k]).mean(axis=(0, 1))
        if (truth > 0).any():
            ratio = np.maximum(drawn, TINY)[truth > 0] / truth[truth > 0]
            distances.append(np.sqrt(np.mean((10 * np.log10(ratio)) ** 2)))
    return _averaged(distances)


def _inside(weight: Array) -> tuple[slice, slice]:
    """Return the rows and columns of fields that are known in any: without what continues them."""
    sides = []
    for other in (-1, -2):
        known = np.flatnonzero((weight > 0).any(axis=(0, 1, other)))
        sides.append(slice(known[0], known[-1] + 1) if len(known) else slice(None))
    return sides[0], sides[1]


def _averaged(values: Iterable[float]) -> float:
    """Return the mean, NaN of nothing."""
    some = list(values)
    return float(np.mean(some)) if some else float("nan")


def _picked(batch: Batch, rows: NDArray[np.intp]) -> Batch:
    """Return some of the patches, in any order and number."""
    arrays = {own.name: getattr(batch, own.name) for own in fields(batch)}
    some: dict[str, Any] = {k: None if a is None else a[rows] for k, a in arrays.items()}
    return Batch(**some)

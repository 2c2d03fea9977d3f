"""The two stages of a training: what their networks are given, and what their errors count.

First a regression learns the mean by its squared error, then a diffusion model learns what the
mean leaves (Mardani et al., 2025, arXiv 2309.15214). One loop serves both:
:func:`xresdiff.train.loop.fit`.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xresdiff.engine.domain import Denoise
from xresdiff.engine.patching import Patch, patched
from xresdiff.engine.runtime import lay_out
from xresdiff.errors import InputError
from xresdiff.models.package import Model
from xresdiff.models.package import Stage as StageName
from xresdiff.nets.edm import edm_loss, mean_loss
from xresdiff.nets.stage_net import StageNet
from xresdiff.nets.unet import UNet
from xresdiff.train.batches import Batch, Draws
from xresdiff.train.encoding import Encoding, NoiseLevels, Noisy, Tensors, covered, felt

__all__ = ["MeanStage", "NoiseLevels", "ResidualStage", "measure", "network"]

#: The least standard deviation of a residual, in encoded units. Encoded values are near one, and
#: float32 keeps those to 1e-7: what is smaller than this is rounding, and dividing by it would make
#: a signal of that.
LEAST_STD = 1e-6


def network(model: Model, stage: StageName, device: torch.device) -> UNet:
    """Return the network of a stage, ready to be trained: its weights in float32.

    Parameters
    ----------
    model : Model
        With its weights.
    stage : {"mean", "residual"}
        Which of the two.
    device : torch.device
        Where it is to live.
    """
    net = model.network(stage).net.to(device)
    lay_out(net, model.card, device, torch.float32)
    return net.requires_grad_(True).train()


class MeanStage:
    """The regression of the mean.

    Parameters
    ----------
    encoding : Encoding
        The way of batches to the network.
    net : UNet
        Trained in place; from :func:`network`.
    dtype : torch.dtype, default torch.float32
        Precision in which the network computes.
    weights : sequence of float, default ()
        What the errors of each output count; all the same by default.

    Attributes
    ----------
    name : str
        "mean".
    """

    name = "mean"

    def __init__(
        self,
        encoding: Encoding,
        net: UNet,
        *,
        dtype: torch.dtype = torch.float32,
        weights: Sequence[float] = (),
    ) -> None:
        self.encoding, self.net, self.dtype = encoding, net, dtype
        self.counts = _counts(weights, encoding)

    def mean(self, tensors: Tensors, net: nn.Module | None = None) -> Tensor:
        """Return the encoded mean, ``(b, k, h, w)``; `net` in place of the stage's own."""
        encoding = self.encoding
        whole = StageNet(
            _unet(net, self.net),
            sigma_data=None,
            latent=encoding.card.mean.latent,
            dtype=self.dtype,
        )
        condition = felt(encoding.condition(tensors), self.net)
        correction = whole(None, condition, **encoding.where(tensors))
        return encoding.base(tensors) + self._probable(correction, _unet(net, self.net))

    def _probable(self, correction: Tensor, net: nn.Module) -> Tensor:
        """Return probabilities for what networks give in training in their place: logarithms."""
        picked = list(self.net.config.softmax_channels)
        if not (picked and net.training):
            return correction
        whole = correction.clone()
        whole[:, picked] = correction[:, picked].softmax(dim=1)
        return whole

    def loss(self, batch: Batch, net: nn.Module | None = None) -> Tensor:
        """Return the sum over a batch of weight times squared error, encoded.

        Parameters
        ----------
        batch : Batch
            Pairs.
        net : torch.nn.Module, optional
            Another network of the same shape, such as one with averaged weights.

        Returns
        -------
        torch.Tensor, ()
        """
        tensors = self.encoding.tensors(batch)
        mean = self.encoding.inner(self.mean(tensors, net), tensors)
        weight = tensors.weight * self.counts
        return mean_loss(mean, self.encoding.target(tensors), weight, total=True)

    def denoise(
        self,
        x: Tensor,
        sigma: Tensor,
        known: Tensor,
        net: nn.Module | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Refuse: the mean has no noise."""
        raise InputError("the mean stage has nothing to denoise; take the residual stage")


class ResidualStage:
    """The diffusion of what the mean leaves.

    Parameters
    ----------
    encoding : Encoding
        The way of batches to the network.
    net : UNet
        Trained in place; from :func:`network`.
    mean : MeanStage, optional
        Trained before, and left as it is. Without it the mean is the base: the input on the target
        if the card has a global residual, else zero.
    dtype : torch.dtype, default torch.float32
        Precision in which the network computes.
    weights : sequence of float, default ()
        What the errors of each output count; all the same by default.
    levels : NoiseLevels
        The noise levels of training.
    scale : sequence of float, optional
        See :class:`~xresdiff.models.parts.StageCard`, from :func:`measure`; by default the card's.

    Attributes
    ----------
    name : str
        "residual".
    """

    name = "residual"

    def __init__(
        self,
        encoding: Encoding,
        net: UNet,
        mean: MeanStage | None,
        *,
        dtype: torch.dtype = torch.float32,
        weights: Sequence[float] = (),
        levels: NoiseLevels | None = None,
        scale: Sequence[float] | None = None,
    ) -> None:
        self.encoding, self.net, self.dtype = encoding, net, dtype
        self.mean_stage, self.levels = mean, levels or NoiseLevels()
        self.counts = _counts(weights, encoding)
        own = encoding.card.residual
        self.sigma_data = own.sigma_data
        factors = (own.scale if scale is None else scale) or (1.0,) * len(encoding.card.outputs)
        self.scale = torch.tensor(tuple(factors), device=encoding.device)[:, None, None]

    def unweighted(self) -> "ResidualStage":
        """Return the same stage with errors of every output that count the same."""
        other = copy(self)
        other.counts = torch.ones_like(self.counts)
        return other

    def mean(self, tensors: Tensors) -> Tensor:
        """Return the encoded mean, ``(b, k, h, w)``, as it was given or else without gradients."""
        return _mean(self.encoding, self.mean_stage, tensors)

    def known(self, tensors: Tensors, mean: Tensor) -> Tensor:
        """Return what the network is told: the mean, unless the card says no, and the condition."""
        condition = self.encoding.condition(tensors)
        told = self.encoding.card.mean_conditioning
        return torch.cat([mean, condition], dim=1) if told else condition

    def noisy(self, batch: Batch) -> Noisy:
        """Return what the network learns from a batch with noise.

        Whole fields of a model that covers its target with patches are cut into all of these; what
        several of them show counts once in all.
        """
        encoding, tensors = self.encoding, self.encoding.tensors(batch)
        if tensors.noise is None or tensors.level is None:
            raise InputError("the residual stage learns from noise: Draws(..., noisy=True)")
        mean = self.mean(tensors)
        residual = (encoding.target(tensors) - encoding.inner(mean, tensors)) / self.scale
        noisy = Noisy(
            encoding.pad(torch.where(tensors.weight > 0, residual, 0.0), tensors),
            encoding.pad_weight(tensors.weight * self.counts, tensors),
            self.known(tensors, mean),
            encoding.where(tensors),
            encoding.pad_noise(tensors.noise, tensors),
            self.levels.sigma(tensors.level, self.sigma_data),
        )
        patching = self.encoding.card.patching
        if patching is None or not tensors.whole:
            return noisy
        return covered(noisy, patching, encoding.domain.whole(encoding.condition(tensors)))

    def loss(self, batch: Batch, net: nn.Module | None = None) -> Tensor:
        r"""Return the sum over a batch of weight times :math:`\lambda(\sigma) (D - y)^2`.

        Parameters
        ----------
        batch : Batch
            Pairs with noise.
        net : torch.nn.Module, optional
            Another network of the same shape, such as one with averaged weights.

        Returns
        -------
        torch.Tensor, ()
        """
        return self.error(self.noisy(batch), net)

    def error(self, noisy: Noisy, net: nn.Module | None = None) -> Tensor:
        """Return the denoising loss of what :meth:`noisy` returned."""
        return edm_loss(
            lambda x, sigma: self.denoise(x, sigma, noisy.known, net, noisy.where),
            noisy.y,
            noisy.weight,
            sigma=noisy.sigma,
            noise=noisy.noise,
            sigma_data=self.sigma_data,
            total=True,
        )

    def denoise(
        self,
        x: Tensor,
        sigma: Tensor,
        known: Tensor,
        net: nn.Module | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Return the expected residual, as the network sees residuals.

        Parameters
        ----------
        x : torch.Tensor, (b, k, h, w)
            Residual plus noise.
        sigma : torch.Tensor, (b,)
            Noise levels.
        known : torch.Tensor, (b, c, h, w)
            From :meth:`known`, or of :meth:`noisy`.
        net : torch.nn.Module, optional
            Another network of the same shape.
        where : mapping, optional
            `lead_time` and `position`, from :meth:`xresdiff.train.encoding.Encoding.where`.

        Returns
        -------
        torch.Tensor, (b, k, h, w)
        """
        card = self.encoding.card.residual
        whole = StageNet(
            _unet(net, self.net),
            sigma_data=self.sigma_data,
            latent=card.latent,
            scale_condition=card.scale_condition,
            dtype=self.dtype,
        )
        return whole(x, felt(known, self.net), sigma, **(where or {}))

    def denoiser(self, tensors: Tensors, mean: Tensor, net: nn.Module | None = None) -> Denoise:
        """Return a denoiser of the fields of a batch, for samplers.

        Parameters
        ----------
        tensors : Tensors
            The batch.
        mean : torch.Tensor, (b, k, h, w)
            Its encoded mean.
        net : torch.nn.Module, optional
            Another network of the same shape.

        Returns
        -------
        callable
            ``(x, sigma) -> denoised``, which covers the field with patches as at inference.
        """
        known, where = self.known(tensors, mean), self.encoding.where(tensors)
        patching, domain = self.encoding.card.patching, self.encoding.domain
        if patching is None or not tensors.whole:
            return lambda x, sigma: self.denoise(x, sigma, known, net, where)
        shown = domain.whole(self.encoding.condition(tensors))

        def part(x: Tensor, sigma: Tensor, some: Sequence[Patch]) -> Tensor:
            position = torch.stack([patch.index() for patch in some])
            told = domain.cut(known, shown, some[0])
            return self.denoise(x, sigma, told, net, where | {"position": position})

        return patched(part, patching, (known.shape[-2], known.shape[-1]))


def measure(
    encoding: Encoding, mean: MeanStage | None, draws: Draws, *, batches: int = 16
) -> tuple[float, ...]:
    """Measure how much of every output the mean leaves.

    Parameters
    ----------
    encoding : Encoding
        The way of batches to the networks.
    mean : MeanStage, optional
        Trained; without it the mean is the base.
    draws : Draws
        Of the training data; noise is not needed.
    batches : int, default 16
        How many to draw.

    Returns
    -------
    tuple of float
        :attr:`~xresdiff.models.parts.StageCard.scale`: the standard deviation of the residual of
        every output about zero, divided by the card's sigma_data. At least 1e-6 is taken for it:
        the residual of a constant is but rounding.
    """
    squares, weights = np.zeros((2, len(encoding.card.outputs)))
    for step in range(batches):
        tensors = encoding.tensors(draws.batch(step))
        with torch.inference_mode():
            left = encoding.target(tensors) - encoding.inner(
                _mean(encoding, mean, tensors), tensors
            )
            square = (tensors.weight * left**2).sum(dim=(0, 2, 3))
        squares = squares + square.double().cpu().numpy()
        weights = weights + tensors.weight.sum(dim=(0, 2, 3)).double().cpu().numpy()
    std = np.sqrt(squares / np.maximum(weights, 1.0))
    # an output that was never seen has no deviation: take it as it is
    std = np.where(weights > 0, np.maximum(std, LEAST_STD), encoding.card.residual.sigma_data)
    return tuple(float(value) for value in std / encoding.card.residual.sigma_data)


def _mean(encoding: Encoding, stage: MeanStage | None, tensors: Tensors) -> Tensor:
    """Return the encoded mean of a batch, (b, k, h, w), without gradients."""
    if tensors.mean is not None:
        return encoding.pad(tensors.mean, tensors)
    if stage is None:
        return encoding.base(tensors)
    training = stage.net.training
    try:
        with torch.no_grad():
            stage.net.eval()
            return stage.mean(tensors)
    finally:
        stage.net.train(training)


def _counts(weights: Sequence[float], encoding: Encoding) -> Tensor:
    """Return what the errors of each output count, (k, 1, 1)."""
    outputs = [channel.label for channel in encoding.card.outputs]
    counts = tuple(weights) or (1.0,) * len(outputs)
    if len(counts) != len(outputs) or not all(np.isfinite(c) and c >= 0 for c in counts):
        raise InputError(
            f"the weights of the errors are {counts}; needed is one number of at least 0 for each "
            f"of {', '.join(outputs)}"
        )
    return torch.tensor(counts, dtype=torch.float32, device=encoding.device)[:, None, None]


def _unet(net: nn.Module | None, own: UNet) -> Any:
    return own if net is None else net

"""The way of a batch to the networks, by the same code as at inference, and its noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from xresdiff.engine.fields import encoded
from xresdiff.engine.fixed import Fixed
from xresdiff.engine.patching import Patch, conditions, cut, patches
from xresdiff.engine.refined import Refined
from xresdiff.errors import raise_problems
from xresdiff.models.card import FixedTarget, ModelCard
from xresdiff.models.package import Model
from xresdiff.models.targets import Patching
from xresdiff.nets.config import UNetConfig
from xresdiff.train.batches import Batch
from xresdiff.train.targets import whole_because

__all__ = ["Encoding", "NoiseLevels", "Noisy", "Tensors", "covered", "felt"]


@dataclass(frozen=True)
class Tensors:
    """A :class:`~xresdiff.train.batches.Batch` on the device.

    Parameters
    ----------
    coarse, fine, weight : torch.Tensor
        As of the batch, physical.
    moments, corners : numpy.ndarray, (b, 2)
        As of the batch.
    whole : bool
        Whether these are whole fields of a fixed target, which networks may be given padded, even
        if they are continued beyond their last rows and columns: networks do not see that.
    mean, noise, level : torch.Tensor, optional
        As of the batch.
    """

    coarse: Tensor
    fine: Tensor
    weight: Tensor
    moments: NDArray[np.float64]
    corners: NDArray[np.int64]
    whole: bool
    mean: Tensor | None = None
    noise: Tensor | None = None
    level: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the targets."""
        return self.fine.shape[-2], self.fine.shape[-1]


class Encoding:
    """What the networks of a model are given of batches, and what their fields mean.

    The networks work on ``(b, k, h, w)``. That is the ``(b, k, y, x)`` of a batch but for whole
    fields of a fixed target: there it is the target with the padding of the card, as at inference.

    Parameters
    ----------
    model : Model
        Whose card says how; of its files, the grid of a fixed target alone is read.
    device : torch.device
        Where the networks are.
    """

    def __init__(self, model: Model, device: torch.device) -> None:
        self.card: ModelCard = model.card
        self.device = device
        configs = [UNetConfig(**s.network.config) for s in (model.card.mean, model.card.residual)]
        self._mapped = any(config.has_maps for config in configs)
        self.domain: Fixed | Refined
        if isinstance(model.card.target, FixedTarget):
            self.domain = Fixed(model)
        else:
            self.domain = Refined(model.card, max(config.size_multiple for config in configs))

    def tensors(self, batch: Batch) -> Tensors:
        """Bring a batch to the device.

        Raises
        ------
        InputError
            If these are patches and the model can be given whole fields alone.
        """
        whole = isinstance(self.domain, Fixed) and self.domain.is_whole(batch.fine.shape[-2:])
        if isinstance(self.domain, Fixed) and not whole:
            self._refuse_patches(batch.fine.shape[-2:])
        return Tensors(
            self._tensor(batch.coarse),
            self._tensor(batch.fine),
            self._tensor(batch.weight),
            batch.moments,
            batch.corners,
            whole,
            None if batch.mean is None else self._tensor(batch.mean),
            None if batch.noise is None else self._tensor(batch.noise),
            None if batch.level is None else self._tensor(batch.level),
        )

    def condition(self, tensors: Tensors) -> Tensor:
        """Return what the networks are told, without the mean, ``(b, k, h, w)``."""
        moments = torch.from_numpy(tensors.moments)
        if isinstance(self.domain, Refined):
            return self.domain.condition(tensors.coarse, moments)
        if tensors.whole:
            return self.domain.condition(self._entered(tensors, self.domain), moments)
        return self.domain.condition(tensors.coarse, moments, tensors.corners)

    def base(self, tensors: Tensors) -> Tensor:
        """Return what the output of the mean network is added to, ``(b, k, h, w)``."""
        if isinstance(self.domain, Refined):
            return self.domain.base(tensors.coarse)
        given = self._entered(tensors, self.domain) if tensors.whole else tensors.coarse
        return self.domain.base(given, patches=not tensors.whole)

    def target(self, tensors: Tensors) -> Tensor:
        """Return the encoded target, ``(b, k, y, x)``."""
        return encoded(tensors.fine, self.card.outputs)

    def decode(self, fields: Tensor, tensors: Tensors) -> Tensor:
        """Return encoded ``(b, k, y, x)`` in physical units, bounded and conserving."""
        return self.domain.decode(fields, lambda: tensors.coarse)

    def where(self, tensors: Tensors) -> dict[str, Any]:
        """Return what else networks are told: `lead_time`, `position`; see `UNet.forward`."""
        told: dict[str, Any] = {}
        if self.card.lead_hours:
            told["lead_time"] = torch.from_numpy(tensors.moments[:, 1]).long().to(self.device)
        if self._mapped and isinstance(self.domain, Fixed) and not tensors.whole:
            told["position"] = self._position(self.domain, tensors)
        return told

    def inner(self, fields: Tensor, tensors: Tensors) -> Tensor:
        """Return of ``(b, k, h, w)`` what is the target, ``(b, k, y, x)``; zero beyond it."""
        if not tensors.whole:
            return fields
        shown = fields[..., *self.domain.crop((0, 0))]
        more = [n - m for n, m in zip(tensors.shape, shown.shape[-2:], strict=True)]
        return F.pad(shown, (0, more[1], 0, more[0])) if any(more) else shown

    def pad(self, fields: Tensor, tensors: Tensors) -> Tensor:
        """Return ``(b, k, y, x)`` as the networks are given it, ``(b, k, h, w)``."""
        if isinstance(self.domain, Fixed) and tensors.whole:
            return self.domain.pad(self._shown(fields, tensors))
        return fields

    def pad_noise(self, noise: Tensor, tensors: Tensors) -> Tensor:
        """Return noise as :meth:`pad` returns fields.

        What lies beyond an edge comes from the opposite one: a mirror image would tell the network
        the noise next to it.
        """
        place, noise = self._margins(tensors), self._shown(noise, tensors)
        return F.pad(noise, place, "circular") if any(place) else noise

    def pad_weight(self, weight: Tensor, tensors: Tensors) -> Tensor:
        """Return weights as :meth:`pad` returns fields, zero beyond the target."""
        place, weight = self._margins(tensors), self._shown(weight, tensors)
        return F.pad(weight, place) if any(place) else weight

    def _shown(self, fields: Tensor, tensors: Tensors) -> Tensor:
        """Return whole fields without what continues them, patches as they are."""
        if not (isinstance(self.domain, Fixed) and tensors.whole):
            return fields
        height, width = self.domain.size
        return fields[..., :height, :width]

    def _entered(self, tensors: Tensors, domain: Fixed) -> Tensor:
        """Return the inputs of whole fields as inference has them."""
        coarse = tensors.coarse
        on_target = tuple(coarse.shape[-2:]) == tensors.shape
        return domain.enter(self._shown(coarse, tensors) if on_target else coarse)

    def _margins(self, tensors: Tensors) -> tuple[int, int, int, int]:
        """Return the columns left and right and the rows above and below of the target."""
        target = self.card.target
        if not (isinstance(target, FixedTarget) and tensors.whole and target.padding):
            return 0, 0, 0, 0
        return (*target.padding.columns, *target.padding.rows)

    def _position(self, domain: Fixed, tensors: Tensors) -> Tensor:
        """Return where on the padded grid every pixel of patches lies, (b, 2, y, x)."""
        top, left = (window.start for window in domain.crop((0, 0)))
        each = []
        for corner in tensors.corners:
            rows, columns = domain.place(corner, tensors.shape)
            each.append(np.stack(np.meshgrid(rows + top, columns + left, indexing="ij")))
        return torch.from_numpy(np.stack(each)).to(self.device)

    def _refuse_patches(self, shape: tuple[int, ...]) -> None:
        """Raise an error if the model takes whole fields alone."""
        card = self.card
        assert isinstance(self.domain, Fixed)  # the caller's to check
        rows, columns = self.domain.size
        problems = [
            f"the model {card.name!r} {reason}, so that it learns from whole fields of "
            f"{rows} x {columns} pixels alone; these are patches of {shape[0]} x {shape[1]}. Give "
            "readers of whole fields"
            for reason in whole_because(card)
        ]
        raise_problems(problems, what="train on patches")

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)


@dataclass(frozen=True)
class NoiseLevels:
    r"""The noise levels of training: :math:`\ln(\sigma / 2s) \sim N(mean, std^2)`.

    With *s* the standard deviation of the residual as the network sees it; the defaults are those
    of the EDM paper, whose data have :math:`s = 0.5`.

    Parameters
    ----------
    mean, std : float, default -1.2 and 1.2
        Of the logarithm.

    Examples
    --------
    >>> NoiseLevels(mean=0.0).sigma(torch.tensor([0.0]), sigma_data=0.5)
    tensor([1.])
    """

    mean: float = -1.2
    std: float = 1.2

    def sigma(self, level: Tensor, sigma_data: float) -> Tensor:
        """Return the noise levels of standard normal numbers, ``(b,)``."""
        return 2 * sigma_data * torch.exp(self.mean + self.std * level)


@dataclass(frozen=True)
class Noisy:
    """What the residual network learns from a batch.

    Parameters
    ----------
    y : torch.Tensor, (b, k, h, w)
        Residuals as the network sees them, zero where the target is missing.
    weight : torch.Tensor, (b, k, h, w)
        What their errors count.
    known : torch.Tensor, (b, c, h, w)
        What the network is told.
    where : dict
        Further arguments of the network.
    noise : torch.Tensor, (b, k, h, w)
        Standard normal.
    sigma : torch.Tensor, (b,)
        Noise levels.
    """

    y: Tensor
    weight: Tensor
    known: Tensor
    where: dict[str, Any]
    noise: Tensor
    sigma: Tensor


def covered(noisy: Noisy, patching: Patching, shown: Tensor | None) -> Noisy:
    """Cut whole fields into the patches that cover them, one behind the other.

    Parameters
    ----------
    noisy : Noisy
        Of whole fields.
    patching : Patching
        How patches cover them. What several of them show counts once in all.
    shown : torch.Tensor, (b, d, y, x), optional
        What every patch is told of the whole field.
    """
    cover = patches(patching, (noisy.y.shape[-2], noisy.y.shape[-1]))
    where = noisy.where | {"position": torch.stack([patch.index() for patch in cover])}
    if "lead_time" in where:
        where["lead_time"] = where["lead_time"].repeat(len(cover))
    return Noisy(
        cut(noisy.y, cover),
        _shared(noisy.weight, cover),
        conditions(noisy.known, shown, cover),
        where,
        cut(noisy.noise, cover),
        noisy.sigma.repeat(len(cover)),
    )


def _shared(weight: Tensor, cover: Sequence[Patch]) -> Tensor:
    """Cut weights; what several patches show counts once in all, what is mirrored nowhere."""
    shape = (weight.shape[-2], weight.shape[-1])
    count, parts = torch.zeros_like(weight[0, 0]), []
    for patch in cover:
        count[patch.place(*shape)] += 1
    for patch in cover:
        part = torch.zeros_like(cut(weight, [patch]))
        place = patch.place(*shape)
        part[..., *patch.inside(*shape)] = weight[..., *place] / count[place]
        parts.append(part)
    return torch.cat(parts)


def felt(known: Tensor, net: nn.Module) -> Tensor:
    """Ask for gradients of what a network is told, where parts of it are frozen.

    On a CPU, torch's backward pass of a group norm of fields with the channels last crashes the
    process if the fields need no gradients, as those behind frozen layers would not.
    """
    parts = any(not parameter.requires_grad for parameter in net.parameters())
    if not (parts and torch.is_grad_enabled() and known.device.type == "cpu"):
        return known
    return known.detach().requires_grad_()

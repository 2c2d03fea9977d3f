"""Run the networks of a model on arrays: one model per process, one thread at a time per device.

Arrays come in and go out as numpy, in physical units, ``(n, channel, y, x)``. Labels, units and
laziness are the business of :mod:`xresdiff.downscale`.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import inf, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xresdiff.engine.arguments import Settings
from xresdiff.engine.batches import PIXELS_AT_ONCE, in_batches
from xresdiff.engine.domain import Domain, Part
from xresdiff.engine.fixed import Fixed
from xresdiff.engine.noise import normal_field
from xresdiff.engine.refined import Refined
from xresdiff.engine.stopping import check
from xresdiff.engine.tiles import blended, grouped
from xresdiff.engine.tiling import Tiling, Window, tiling
from xresdiff.errors import InputError
from xresdiff.models.card import FixedTarget, ModelCard, NetworkCard, SamplerCard
from xresdiff.models.opening import open_key
from xresdiff.models.package import Model, Stage
from xresdiff.nets.edm import edm_sigmas
from xresdiff.nets.samplers import SAMPLERS, Churn, Denoise, Noise
from xresdiff.nets.stage_net import StageNet
from xresdiff.nets.unet import UNet, UNetConfig

__all__ = [
    "Draw",
    "Runtime",
    "build",
    "lay_out",
    "load",
    "pick_device",
    "pick_dtype",
    "pick_state",
    "sampled",
]

Array = NDArray[np.float32]
Moments = NDArray[np.float64]

_LOADING = threading.Lock()


@dataclass(frozen=True)
class Draw:
    """One field of an ensemble: which time of the block, which labels and member of the noise."""

    time: int
    labels: tuple[str, ...]
    member: int


def pick_device(device: str) -> torch.device:
    """Return the device of a name; "auto" takes a GPU if there is one.

    Raises
    ------
    InputError
        If there is no such device.
    """
    name = device
    if device == "auto":
        gpu = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else gpu
    try:
        return torch.empty(0, device=name).device  # with its number: "cuda" is "cuda:0"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"there is no device {device!r} here ({reason}); type device='auto'"
        ) from error


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the networks' precision; "auto" takes bfloat16 where the device is fast at it."""
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if precision in named:
        return named[precision]
    if precision != "auto":
        known = ", ".join(map(repr, named))
        raise InputError(f"precision is {precision!r}; it is 'auto', {known}")
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)  # not in every release of torch
    return torch.bfloat16 if device.type == "cpu" and fast() else torch.float32


def build(card: NetworkCard) -> UNet:
    """Build the network that a card describes, with fresh weights."""
    return UNet(UNetConfig(**card.config))


def lay_out(
    net: torch.nn.Module, card: ModelCard, device: torch.device, dtype: torch.dtype
) -> None:
    """Bring the weights of a network to a precision, in the layout that suits the device."""
    # on a CPU, torch's group norm of fields with the channels last is fast, but good to 1e-4
    fast = device.type != "cpu" or card.precision == "auto"
    for parameter in net.parameters():  # not the buffers: frequencies need all their digits
        last = fast and parameter.ndim == 4
        layout = torch.channels_last if last else torch.contiguous_format
        parameter.data = parameter.data.to(dtype, memory_format=layout)


def pick_state(card: ModelCard, device: torch.device) -> torch.dtype:
    """Return the precision in which a model is sampled: float64 where it is to be exact."""
    exact = card.precision == "float32" and device.type != "mps"
    return torch.float64 if exact else torch.float32


def sampled(sampler: SamplerCard, denoise: Denoise, noise: Noise) -> Tensor:
    """Sample residuals.

    Parameters
    ----------
    sampler : SamplerCard
        How.
    denoise : callable
        ``(x, sigma) -> denoised``.
    noise : callable
        ``draw -> standard normal``, ``(b, c, y, x)``; its precision is that of the run.

    Returns
    -------
    torch.Tensor, (b, c, y, x)
        As the network sees residuals.
    """
    sigmas = edm_sigmas(
        sampler.steps, sigma_min=sampler.sigma_min, sigma_max=sampler.sigma_max, rho=sampler.rho
    )
    churn = Churn(
        amount=sampler.churn,
        sigma_min=sampler.churn_min,
        sigma_max=inf if sampler.churn_max is None else sampler.churn_max,
        noise=sampler.churn_noise,
        capped=sampler.churn_capped,
    )
    return SAMPLERS[sampler.name](denoise, noise(0), sigmas, noise=noise, churn=churn)


def load(key: str, device: str, precision: str) -> "Runtime":
    """Open a model by its key, once per process.

    Parameters
    ----------
    key : str
        ``source@sha256``, from :attr:`xresdiff.models.package.Model.key`.
    device, precision : str
        As of :class:`Settings`.
    """
    picked = pick_device(device)
    with _LOADING:  # or each of the threads that come first would read the model
        return _loaded(key, picked, pick_dtype(precision, picked))


@lru_cache(maxsize=4)
def _loaded(key: str, device: torch.device, dtype: torch.dtype) -> "Runtime":
    return Runtime(open_key(key), device, dtype)


@dataclass(frozen=True)
class _Known:
    """What the residual network is told of some times: ``(t, k, h, w)``, see `Domain`."""

    mean: Tensor | None
    condition: Tensor
    whole: Tensor | None
    leads: Tensor  # (t,)


class Runtime:
    """A model on a device, ready to run.

    Parameters
    ----------
    model : Model
        Card and weights.
    device : torch.device
        Where the networks live.
    dtype : torch.dtype
        Their precision.
    """

    def __init__(self, model: Model, device: torch.device, dtype: torch.dtype) -> None:
        self.card, self.device, self.dtype = model.card, device, dtype
        self._mean_net = self._network(model, "mean")
        self._residual_net = self._network(model, "residual")
        scale = model.card.residual.scale
        self._scale = torch.tensor(scale, device=device)[:, None, None] if scale else None
        multiples = (net.net.config.size_multiple for net in (self._mean_net, self._residual_net))
        self.domain: Domain
        if isinstance(model.card.target, FixedTarget):
            self.domain = Fixed(model)
        else:
            self.domain = Refined(model.card, max(multiples))

    def _network(self, model: Model, stage: Stage) -> StageNet:
        net = model.network(stage).to(self.device)
        net.dtype = self.dtype
        lay_out(net, model.card, self.device, self.dtype)
        return net

    def mean(
        self, coarse: Array, moments: Moments | None = None, settings: Settings | None = None
    ) -> Array:
        """Return the regression's mean, encoded: ``(t, c, Y, X)`` to ``(t, k, y, x)``.

        `moments` tells the time of each field in seconds since 1970 and its lead label, (t, 2);
        `settings` how large fields are cut. The padding of a fixed target is part of the result.
        """
        domain, size = self.domain, (coarse.shape[-2], coarse.shape[-1])
        tiles, pixels = self._tiling(settings), PIXELS_AT_ONCE[self.device.type]

        def some(picked: slice) -> Array:
            given = domain.enter(self._tensor(coarse[picked]))
            known = self._moments(moments, picked, len(given))
            condition, base = domain.condition(given, known), domain.base(given)

            def network(x: Tensor, _: Tensor, parts: Sequence[Part]) -> Tensor:
                cut = torch.cat([domain.cut(condition, None, part) for part in parts])
                return self._run(self._mean_net, None, cut, None, known[:, 1], parts)

            cover = domain.cover(network, "mean", tiles, pixels)
            mean = cover(base, base.new_zeros(len(base))).add_(base)
            return domain.keep(mean, size).cpu().numpy()

        return self._in_batches(some, len(coarse), size)

    def physical(self, fields: Array, coarse: Array) -> Array:
        """Return means in physical units, bounded and conserving, ``(t, k, y, x)``."""

        def some(picked: slice) -> Array:
            fine = self.domain.result(self._tensor(fields[picked]))
            known = partial(self._tensor, coarse[picked])
            return self.domain.decode(fine, known).cpu().numpy()

        return self._in_batches(some, len(coarse), (coarse.shape[-2], coarse.shape[-1]))

    def members(
        self,
        coarse: Array,
        mean: Array,
        draws: Sequence[Draw],
        settings: Settings,
        moments: Moments | None = None,
    ) -> Array:
        """Draw members: mean plus residual, in physical units.

        Parameters
        ----------
        coarse : numpy.ndarray, (t, c, Y, X)
            Inputs of all times.
        mean : numpy.ndarray, (t, k, y, x)
            Their means, from :meth:`mean`.
        draws : sequence of Draw
            Which time and member each result is, and the labels of its noise.
        settings : Settings
            Seed and sampler.
        moments : numpy.ndarray, (t, 2), optional
            As of :meth:`mean`.

        Returns
        -------
        numpy.ndarray, (len(draws), k, y, x)
        """
        domain, size = self.domain, (coarse.shape[-2], coarse.shape[-1])
        tiles, conditioned = self._tiling(settings), self.card.mean_conditioning
        order = sorted(range(len(draws)), key=lambda i: draws[i].time)

        @lru_cache(maxsize=1)  # successive batches are of the same times, mostly
        def known(own: tuple[int, ...]) -> _Known:
            told = _consecutive(own)
            given = domain.enter(self._tensor(coarse[told]))
            moment = self._moments(moments, told, len(own))
            center = domain.restore(self._tensor(mean[told])) if conditioned else None
            condition = domain.condition(given, moment)
            return _Known(center, condition, domain.whole(condition), moment[:, 1])

        def some(picked: slice) -> Array:
            rows = [draws[i] for i in order[picked]]
            own = tuple(dict.fromkeys(draw.time for draw in rows))
            places = [draw.time for draw in rows]
            times = torch.tensor([own.index(place) for place in places], device=self.device)
            drawn = self._residual(known(own), times, rows, settings, tiles)
            fine = drawn[..., *domain.crop(size)]
            fine += domain.result(self._tensor(mean[_consecutive(places)]))
            del drawn
            return domain.decode(fine, lambda: self._tensor(coarse[places])).cpu().numpy()

        return self._in_batches(some, len(draws), size, order)

    def _residual(
        self,
        known: _Known,
        times: Tensor,
        rows: Sequence[Draw],
        settings: Settings,
        tiles: Tiling | None,
    ) -> Tensor:
        """Sample residuals ``(b, k, h, w)``, in float64 where the networks are to be exact."""
        state, sampler = pick_state(self.card, self.device), settings.sampler
        channels, (height, width) = len(self.card.outputs), known.condition.shape[-2:]

        def noise(number: int, window: Window) -> Tensor:
            (top, bottom), (left, right) = ((side.start, side.stop) for side in window)
            shape = channels, bottom - top, right - left
            fields = [
                normal_field(settings.seed, row.labels, row.member, number, shape, (top, left))
                for row in rows
            ]
            return self._tensor(np.stack(fields)).to(state)

        def network(x: Tensor, sigma: Tensor, parts: Sequence[Part]) -> Tensor:
            cut = torch.cat([self._told(known, part)[times] for part in parts])
            return self._run(self._residual_net, x, cut, sigma, known.leads[times.cpu()], parts)

        def alone(some: Sequence[Window]) -> Tensor:
            return sampled(
                sampler,
                lambda x, sigma: network(x, sigma, some),
                lambda number: torch.cat([noise(number, window) for window in some]),
            )

        whole, pixels = (slice(0, height), slice(0, width)), PIXELS_AT_ONCE[self.device.type]
        if tiles is not None and tiles.independent and tiles.cuts((height, width)):
            groups = grouped(tiles, (height, width), pixels // len(rows))
            out = known.condition.new_zeros(len(rows), channels, height, width)
            drawn = blended(alone, groups, out, tiles.overlap)
        else:
            cover = self.domain.cover(network, "residual", tiles, pixels)
            drawn = sampled(sampler, cover, lambda number: noise(number, whole)).float()
        return drawn if self._scale is None else drawn.mul_(self._scale)

    def _told(self, known: _Known, part: Part) -> Tensor:
        """Return what the residual network is told of a part, for all times."""
        told = self.domain.cut(known.condition, known.whole, part)
        if known.mean is None:
            return told
        return torch.cat([self.domain.cut(known.mean, None, part), told], dim=1)

    def _run(
        self,
        net: StageNet,
        x: Tensor | None,
        condition: Tensor,
        sigma: Tensor | None,
        leads: Tensor,
        parts: Sequence[Part],
    ) -> Tensor:
        """Run a network on parts of fields, one part behind the other."""
        check()
        return net(
            x,
            condition,
            sigma,
            lead_time=leads.long().repeat(len(parts)) if self.card.lead_hours else None,
            position=self.domain.position(parts),
        )

    def _tiling(self, settings: Settings | None) -> Tiling | None:
        """Return how large fields are cut."""
        return tiling(self.card, *((settings.tile, settings.overlap) if settings else ()))

    def _moments(self, moments: Moments | None, picked: slice | list[int], n: int) -> Tensor:
        if moments is None:
            return torch.zeros(n, 2, dtype=torch.float64)
        return torch.tensor(moments[picked], dtype=torch.float64)

    def _tensor(self, array: Array) -> Tensor:
        own = np.require(array, np.float32, ("C", "W"))  # torch warns of what is read-only
        return torch.from_numpy(own).to(self.device)

    def _in_batches(
        self,
        some: Callable[[slice], Array],
        n: int,
        coarse_shape: tuple[int, int],
        order: Sequence[int] | None = None,
    ) -> Array:
        pixels = prod(self.domain.shape(coarse_shape))
        return in_batches(some, n, pixels, self.device, order)


def _consecutive(places: Sequence[int]) -> slice | list[int]:
    """Return places as a slice, which copies nothing, if they follow one another."""
    span = range(places[0], places[-1] + 1)
    return slice(span.start, span.stop) if list(span) == list(places) else list(places)

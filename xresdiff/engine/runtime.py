"""Run the networks of a model on arrays: one model per process, one thread at a time per device.

Arrays come in and go out as numpy, in physical units, ``(n, channel, y, x)``. Labels, units and
laziness are the business of :mod:`xresdiff.downscale`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import gcd, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xresdiff.engine.arguments import Settings
from xresdiff.engine.fields import Fields
from xresdiff.engine.noise import normal_field
from xresdiff.engine.tiles import Window, pad_to, windowed
from xresdiff.errors import InputError
from xresdiff.models.card import NetworkCard
from xresdiff.models.package import Model, Stage, open_key
from xresdiff.nets.edm import Denoiser, edm_sigmas
from xresdiff.nets.samplers import SAMPLERS
from xresdiff.nets.unet import UNet, UNetConfig

__all__ = ["Draw", "Runtime", "build", "load", "pick_device", "pick_dtype"]

Array = NDArray[np.float32]

WINDOW = 512  # fine pixels; fields that are larger run in windows of this size
OVERLAP = 64  # fine pixels that neighbouring windows share
PIXELS_AT_ONCE = {"cpu": 2**18, "cuda": 2**24, "mps": 2**22}  # batch that is tried first

_LOCKS: dict[str, threading.Lock] = {}
_LOCKS_GUARD = threading.Lock()
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
        self.fields = Fields(model.card)
        self.factor = self.fields.factor
        self._mean_net = self._network(model, "mean")
        residual_net = self._network(model, "residual")
        self._denoiser = Denoiser(residual_net, model.card.residual.sigma_data, dtype)
        needed = max(net.config.size_multiple for net in (self._mean_net, residual_net))
        self._multiple = needed // gcd(needed, self.factor)  # of the coarse height and width
        self._least = -(-model.card.patch // self.factor)  # of them too

    def _network(self, model: Model, stage: Stage) -> UNet:
        net = build(getattr(model.card, stage).network)
        weights = {name: torch.from_numpy(w.copy()) for name, w in model.weights(stage).items()}
        net.load_state_dict(weights)
        net = net.to(self.device).eval().requires_grad_(False)
        for parameter in net.parameters():  # not the buffers: frequencies need all their digits
            layout = torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
            parameter.data = parameter.data.to(self.dtype, memory_format=layout)
        return net

    def mean(self, coarse: Array) -> Array:
        """Return the regression's mean, encoded: ``(t, c, Y, X)`` to ``(t, k, y, x)``."""

        def some(picked: slice) -> Array:
            given, crop = self._padded(coarse[picked])
            condition = self.fields.condition(given)
            base = self.fields.base(given)

            def network(x: Tensor, _: Tensor, windows: Sequence[Window]) -> Tensor:
                cut = torch.cat([condition[..., *window] for window in windows])
                return self._mean_net(cut.to(self.dtype), cut.new_zeros(len(cut))).float()

            correction = windowed(network, WINDOW, OVERLAP)(base, base.new_zeros(len(base)))
            return self._array(base + correction, crop)

        return self._in_batches(some, len(coarse), coarse.shape[-2:])

    def physical(self, encoded: Array, coarse: Array) -> Array:
        """Return encoded fields in physical units, bounded and conserving, ``(t, k, y, x)``."""

        def some(picked: slice) -> Array:
            fields = self.fields.decode(self._tensor(encoded[picked]), self._tensor(coarse[picked]))
            return fields.cpu().numpy()

        return self._in_batches(some, len(coarse), coarse.shape[-2:])

    def members(
        self, coarse: Array, mean: Array, draws: Sequence[Draw], settings: Settings
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

        Returns
        -------
        numpy.ndarray, (len(draws), k, y, x)
        """
        order = sorted(range(len(draws)), key=lambda i: draws[i].time)

        @lru_cache(maxsize=1)  # successive batches are of the same times, mostly
        def known(own: tuple[int, ...]) -> tuple[Tensor, Tensor, Window]:
            given, crop = self._padded(coarse[list(own)])
            return given, self._condition(given, mean[list(own)]), crop

        def some(picked: slice) -> Array:
            rows = [draws[i] for i in order[picked]]
            own = tuple(dict.fromkeys(draw.time for draw in rows))
            given, condition, crop = known(own)
            times = torch.tensor([own.index(draw.time) for draw in rows], device=self.device)
            residual = self._residual(condition, times, rows, settings)[..., *crop]
            center = self._tensor(mean[[draw.time for draw in rows]])
            fields = self.fields.decode(center + residual, given[times][..., *self._coarse(crop)])
            return fields.cpu().numpy()

        return self._in_batches(some, len(draws), coarse.shape[-2:])[np.argsort(order)]

    def _condition(self, given: Tensor, mean: Array) -> Tensor:
        """Return what the residual network is told of each time: the mean, then the input."""
        known = self.fields.condition(given)
        of_coarse = self._multiple, self._least
        mirrored, _ = pad_to(self._tensor(mean), *(self.factor * n for n in of_coarse))
        return torch.cat([mirrored, known], dim=1)

    def _residual(
        self, condition: Tensor, times: Tensor, rows: Sequence[Draw], settings: Settings
    ) -> Tensor:
        """Sample residuals ``(b, k, y, x)``, padded."""
        sampler, shape = settings.sampler, (len(self.card.outputs), *condition.shape[-2:])

        def noise(number: int) -> Tensor:
            fields = [
                normal_field(settings.seed, row.labels, row.member, number, shape) for row in rows
            ]
            return self._tensor(np.stack(fields))

        def network(x: Tensor, sigma: Tensor, windows: Sequence[Window]) -> Tensor:
            cut = torch.cat([condition[..., *window][times] for window in windows])
            return self._denoiser(x, sigma, cut)

        sigmas = edm_sigmas(
            sampler.steps,
            sigma_min=sampler.sigma_min,
            sigma_max=sampler.sigma_max,
            rho=sampler.rho,
        )
        denoise = windowed(network, WINDOW, OVERLAP)
        draw = SAMPLERS[sampler.name]
        return draw(denoise, noise(0), sigmas, noise=noise, churn=sampler.churn)

    def _padded(self, coarse: Array) -> tuple[Tensor, Window]:
        """Extend inputs to what the networks take; return the crop of the fine result."""
        given, crop = pad_to(self._tensor(coarse), self._multiple, self._least)
        rows, columns = (slice(0, part.stop * self.factor) for part in crop)
        return given, (rows, columns)

    def _coarse(self, crop: Window) -> Window:
        rows, columns = (slice(0, part.stop // self.factor) for part in crop)
        return rows, columns

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)

    def _array(self, fields: Tensor, crop: Window) -> Array:
        return fields[..., *crop].cpu().numpy()

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Let one thread at a time use the device, without recording gradients."""
        with _LOCKS_GUARD:
            lock = _LOCKS.setdefault(str(self.device), threading.Lock())
        with lock, torch.inference_mode():
            yield

    def _in_batches(
        self, some: Callable[[slice], Array], n: int, coarse_shape: tuple[int, ...]
    ) -> Array:
        """Call `some` on slices of 0 to `n`, halving them whenever memory runs out."""
        pixels = prod(max(n, self._least) * self.factor for n in coarse_shape)
        size = min(max(PIXELS_AT_ONCE[self.device.type] // pixels, 1), n)
        parts: list[Array] = []
        done = 0
        while done < n:
            try:
                with self._running():
                    parts.append(some(slice(done, min(done + size, n))))
                done += size
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not _memory_ran_out(error):
                    raise
                size //= 2
        return np.concatenate(parts)


def _memory_ran_out(error: Exception) -> bool:
    """Tell whether this is why: on CPU and MPS, torch says so in the text of a RuntimeError."""
    text = str(error)
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "out of memory" in text or "can't allocate memory" in text

"""How a stage is trained, in numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained.

    Parameters
    ----------
    steps : int, default 10000
        Optimiser steps.
    batch_size : int, default 16
        Patches of a step, on all devices together.
    patch : int, default 128
        Side of a patch, in fine pixels.
    per_field : int, default 1
        Patches that are taken of one field.
    learning_rate : float, default 1e-3
        Rate at the top of half a cosine that falls to zero at the last step.
    warmup : int, default 200
        Steps over which the rate rises to the cosine.
    weight_decay : float, default 0.01
        Of AdamW; of weights, not of biases and norms.
    clip : float, default 1.0
        Largest norm of the gradient.
    ema_width : float, default 0.1
        Width of the average of the weights, as a share of the training so far; the power function
        average of Karras et al. (2024, arXiv 2312.02696).
    validate_every : int, default 250
        Steps between validations, which are also the steps between checkpoints.
    patience : int, optional
        Stop after so many validations without a better score; never by default.
    keep_start : bool, default False
        Whether the weights that training begins with are kept if no validation gives better ones.
    micro_batch : int, optional
        Patches of a device at a time, whose gradients are added up; all of them by default, half
        as many whenever memory runs out.
    compile : bool, default False
        Compile the network with ``torch.compile``.
    seed : int, default 0
        Of patches, noise and dropout.

    Examples
    --------
    >>> recipe = Recipe(steps=1000, warmup=100, learning_rate=0.01)
    >>> [round(recipe.rate(step), 4) for step in (0, 99, 500, 1000)]
    [0.0001, 0.0098, 0.005, 0.0]
    """

    steps: int = 10_000
    batch_size: int = 16
    patch: int = 128
    per_field: int = 1
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema_width: float = 0.1
    validate_every: int = 250
    patience: int | None = None
    keep_start: bool = False
    micro_batch: int | None = None
    compile: bool = False
    seed: int = 0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        rise = min((step + 1) / max(self.warmup, 1), 1.0)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def keep(self, step: int) -> float:
        """Return the share of the average of the weights that outlives a step."""
        return (step / (step + 1)) ** (_ema_power(self.ema_width) + 1)

    def finished(self, step: int, scores: Sequence[float]) -> bool:
        """Tell whether all steps are done, or the score has not become better for too long."""
        stale = len(scores) - 1 - min(range(len(scores)), key=scores.__getitem__) if scores else 0
        return step >= self.steps or (self.patience is not None and stale >= self.patience)


@cache
def _ema_power(width: float) -> float:
    r"""Return the exponent of the power function average of a given relative width.

    The width of :math:`t^\gamma` weights on (0, 1) is
    :math:`\sqrt{(\gamma + 1) / ((\gamma + 2)^2 (\gamma + 3))}`; solved by bisection.
    """
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        got = math.sqrt((middle + 1) / ((middle + 2) ** 2 * (middle + 3)))
        low, high = (middle, high) if got > width else (low, middle)
    return low

"""What a training step takes: batches of patches, and which of them belong to which step."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from xresdiff.errors import InputError

__all__ = ["Batch", "Draws", "Patches", "joined"]


@dataclass(frozen=True)
class Batch:
    """Pairs of patches in physical units, and what the networks are told about them.

    Parameters
    ----------
    coarse : numpy.ndarray, (b, c, Y, X)
        Inputs in float32, complete: what was missing is filled.
    fine : numpy.ndarray, (b, k, y, x)
        Targets in float32, zero where missing.
    weight : numpy.ndarray, (b, k, y, x)
        One where the target counts; zero where it or an input is missing, and beyond the field.
    moments : numpy.ndarray, (b, 2)
        Seconds since 1970 and the number of the lead time, float64.
    corners : numpy.ndarray, (b, 2)
        First row and column of each patch on the target's grid, in fine pixels, int64.
    mean : numpy.ndarray, (b, k, y, x), optional
        Encoded mean in float32, where it was computed before.
    noise : numpy.ndarray, (b, k, y, x), optional
        Standard normal numbers in float32.
    level : numpy.ndarray, (b,), optional
        The standard normal number behind the noise level of each patch, float64.
    """

    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    weight: NDArray[np.float32]
    moments: NDArray[np.float64]
    corners: NDArray[np.int64]
    mean: NDArray[np.float32] | None = None
    noise: NDArray[np.float32] | None = None
    level: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.fine)

    def part(self, picked: slice) -> "Batch":
        """Return some of the patches, as views."""
        arrays = {own.name: getattr(self, own.name) for own in fields(self)}
        some: dict[str, Any] = {k: None if a is None else a[picked] for k, a in arrays.items()}
        return Batch(**some)


def joined(batches: Sequence[Batch]) -> Batch:
    """Put batches behind one another.

    Parameters
    ----------
    batches : sequence of Batch
        At least one; all with patches of one shape, and all with or all without each array.

    Returns
    -------
    Batch
        In the order given.

    Raises
    ------
    ValueError
        If there are none, their shapes differ, or an array is in some of them alone.
    """
    if not batches:
        raise ValueError("there are no batches to join")
    whole: dict[str, Any] = {}
    for own in fields(Batch):
        parts = [getattr(batch, own.name) for batch in batches]
        here = [part for part in parts if part is not None]
        if here and len(here) < len(parts):
            raise ValueError(f"{len(here)} of {len(parts)} batches have {own.name!r}")
        whole[own.name] = np.concatenate(here) if here else None
    return Batch(**whole)


class Patches(Protocol):
    """Anything that draws patches; the same state of the generator gives the same ones."""

    def draw(self, rng: np.random.Generator, n: int, patch: int) -> Batch:
        """Draw `n` patches of `patch` x `patch` fine pixels of one field, without noise."""
        ...


@dataclass(frozen=True)
class Draws:
    """The batches of a stage, by number: they depend on nothing but these settings and the step.

    Parameters
    ----------
    patches : Patches
        Where they come from.
    stage : str
        Its name; stages of different names draw different patches.
    seed : int
        Of patches and noise.
    batch_size : int
        Patches of a step, on all devices together.
    patch : int
        Side of a patch in fine pixels.
    per_field : int, default 1
        Patches that are taken of one field, so that fewer fields need be read.
    noisy : bool, default False
        Whether noise and noise levels are drawn, too.
    """

    patches: Patches
    stage: str
    seed: int
    batch_size: int
    patch: int
    per_field: int = 1
    noisy: bool = False

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Draw what a device takes in a step.

        Parameters
        ----------
        step : int
            Number of the step.
        rank, world : int
            Which device this is, of how many: it takes every `world`-th group of patches.

        Returns
        -------
        Batch
            The batches of all devices together hold what one device alone would draw.

        Raises
        ------
        InputError
            If there are more devices than groups of patches.
        """
        groups = -(-self.batch_size // self.per_field)
        if rank >= groups:
            raise InputError(
                f"a batch of {self.batch_size}, {self.per_field} patches of a field, is too small "
                f"for {world} devices: batch_size={world * self.per_field}"
            )
        return joined([self._group(step, group) for group in range(rank, groups, world)])

    def _group(self, step: int, group: int) -> Batch:
        """Draw the patches of one field, then their noise and noise levels."""
        rng = np.random.default_rng([self.seed, crc32(self.stage.encode()), step, group])
        size = min(self.per_field, self.batch_size - group * self.per_field)
        batch = self.patches.draw(rng, size, self.patch)
        if not self.noisy:
            return batch
        noise = rng.standard_normal(batch.fine.shape, dtype=np.float32)
        return replace(batch, noise=noise, level=rng.standard_normal(len(batch)))

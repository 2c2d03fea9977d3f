"""What a package of somebody else becomes: a card, weights under our names, a grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xresdiff.models.card import ModelCard

__all__ = ["Translation"]


@dataclass(frozen=True)
class Translation:
    """A package, as :func:`xresdiff.models.package.write_package` takes it.

    Parameters
    ----------
    card : ModelCard
        What the model is.
    weights : mapping of mapping of numpy.ndarray
        Of the stages "mean" and "residual".
    grid : bytes
        Contents of the grid file.
    """

    card: ModelCard
    weights: Mapping[str, Mapping[str, np.ndarray]]
    grid: bytes

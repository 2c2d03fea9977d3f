"""What a package of somebody else becomes: a card, weights under our names, a grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xresdiff.models.card import ModelCard

__all__ = ["NOT_TOLD", "REFERENCE", "Translation"]

NOT_TOLD = "not told in the package"  # of a licence
REFERENCE = "Mardani et al. (2025), Residual corrective diffusion modeling for km-scale atmospheric"
REFERENCE += " downscaling, doi:10.1038/s43247-025-02042-5"


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

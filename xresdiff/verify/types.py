"""What scores take."""

from collections.abc import Hashable, Iterable
from typing import TypeAlias, TypeVar

import xarray as xr

__all__ = ["Data", "Dims", "Labelled"]

Data: TypeAlias = xr.DataArray | xr.Dataset
Dims: TypeAlias = Hashable | Iterable[Hashable] | None
Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)

"""ESMPy's Regrid: weights between two fields, to be read or applied."""

from typing import Any

import numpy as np

from xresdiff.errors import InputError
from xresdiff.grids.esmf.fields import Field
from xresdiff.grids.esmf.methods import EXPONENT, NEIGHBOURS, Request, make_weights, needs_esmpy
from xresdiff.grids.esmf.names import ExtrapMethod, NormType, RegridMethod, UnmappedAction
from xresdiff.grids.esmf.weights import Weights

__all__ = ["Regrid"]


class Regrid:
    """Weights from the places of one field to those of another.

    Parameters
    ----------
    srcfield, dstfield : Field
        Source and target.
    filename : str, optional
        NetCDF file to write the weights to, with ESMF's names: row, col and S, counted from 1.
    src_mask_values, dst_mask_values : list of int, optional
        Values of the masks that mask a cell; masks are ignored without.
    regrid_method, norm_type, extrap_method, unmapped_action : optional
        As ESMPy's.
    extrap_dist_exponent, extrap_num_src_pnts : optional
        Options of the extrapolation.
    ignore_degenerate : bool, optional
        Leave cells with fewer than three distinct corners out, rather than refuse them.
    vector_regrid, factors : bool, optional
        As ESMPy's; vectors need ESMPy itself.

    Raises
    ------
    InputError
        If the weights cannot be computed, or by ESMPy alone.
    """

    def __init__(
        self,
        srcfield: Field,
        dstfield: Field,
        filename: str | None = None,
        src_mask_values: list[int] | None = None,
        dst_mask_values: list[int] | None = None,
        regrid_method: RegridMethod = RegridMethod.BILINEAR,
        unmapped_action: UnmappedAction = UnmappedAction.IGNORE,
        ignore_degenerate: bool | None = None,
        norm_type: NormType = NormType.DSTAREA,
        extrap_method: ExtrapMethod | None = None,
        extrap_dist_exponent: float | None = None,
        extrap_num_src_pnts: int | None = None,
        factors: bool = True,
        vector_regrid: bool | None = None,
    ) -> None:
        if vector_regrid:
            raise InputError(needs_esmpy("vector_regrid", "regrid the components one by one"))
        self.srcfield, self.dstfield = srcfield, dstfield
        self.regrid_method, self.unmapped_action = regrid_method, unmapped_action
        self.vector_regrid = vector_regrid
        self.finalized = False
        request = Request(
            method=regrid_method,
            norm=norm_type,
            source_mask=src_mask_values,
            target_mask=dst_mask_values,
            extrapolation=extrap_method,
            neighbours=NEIGHBOURS if extrap_num_src_pnts is None else int(extrap_num_src_pnts),
            exponent=EXPONENT if extrap_dist_exponent is None else extrap_dist_exponent,
            ignore_degenerate=bool(ignore_degenerate),
        )
        self._weights = make_weights(srcfield.grid, dstfield.grid, request)
        if filename is not None:
            _write(self._weights, filename)

    def get_weights_dict(self, deep_copy: bool = False) -> dict[str, np.ndarray]:
        """Return the weights: row_dst and col_src count from 1, in Fortran order of (x, y)."""
        return {
            "row_dst": self._weights.target.astype(np.int32) + 1,
            "col_src": self._weights.source.astype(np.int32) + 1,
            "weights": self._weights.value.copy() if deep_copy else self._weights.value,
        }

    def __call__(self, srcfield: Field, dstfield: Field, **_: Any) -> Field:
        """Regrid the values of one field into another; what has no weights becomes zero."""
        from scipy.sparse import coo_array

        extra = srcfield.data.shape[len(_places(srcfield)) :]
        source = srcfield.data.reshape(-1, int(np.prod(extra)), order="F")
        shape = (int(np.prod(_places(dstfield))), len(source))
        target, column, value = self._weights
        matrix = coo_array((value, (target, column)), shape=shape).tocsr()
        dstfield.data[...] = (matrix @ source).reshape((*_places(dstfield), *extra), order="F")
        return dstfield

    def destroy(self) -> None:
        """Mark as done with."""
        self.finalized = True


def _places(field: Field) -> tuple[int, ...]:
    """Return the shape of the places of a field, without further dimensions."""
    return field.data.shape[: field.grid.rank]


def _write(weights: Weights, filename: str) -> None:
    """Write weights to a netCDF file, as ESMF names them."""
    import xarray as xr

    columns = {"S": weights.value, "col": weights.source + 1, "row": weights.target + 1}
    xr.Dataset({name: ("n_s", values) for name, values in columns.items()}).to_netcdf(filename)

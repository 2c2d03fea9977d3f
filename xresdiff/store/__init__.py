"""Write ensembles so that a kill costs a chunk, never the store."""

from xresdiff.store.netcdf import to_netcdf
from xresdiff.store.writing import to_zarr

__all__ = ["to_netcdf", "to_zarr"]

"""Import xESMF, which needs ESMPy."""

from types import ModuleType

from xresdiff.errors import MissingDependencyError

__all__ = ["import_xesmf"]


def import_xesmf() -> ModuleType:
    """Import xESMF and return it.

    Returns
    -------
    module
        ``xesmf``.

    Raises
    ------
    MissingDependencyError
        If xESMF, or the ESMPy that it needs, is not installed.
    """
    try:
        import xesmf
    except ImportError as error:
        raise MissingDependencyError(
            f"regridding needs xESMF with ESMPy, and importing them failed: {error}. ESMPy comes "
            "from conda alone: conda install -c conda-forge esmpy xesmf"
        ) from error
    return xesmf

"""Verification of events in neighbourhoods: where exactly it rained may not be what matters."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, get_args

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.verify.arguments import with_dims
from xresdiff.verify.chunks import weights_of
from xresdiff.verify.events import Levels, as_levels, with_levels
from xresdiff.verify.kernels import events as kernels
from xresdiff.verify.kernels.events import Edges, Size
from xresdiff.verify.measures import Measure, measure
from xresdiff.verify.pairs import Pair, by_variable, find_member_dim
from xresdiff.verify.spectra.sides import Plane, Sides, Spacing, plane_of
from xresdiff.verify.types import Data, Dims, Labelled

__all__ = ["fss", "probability"]


def probability(
    ens: Labelled,
    *,
    member_dim: Hashable | None = None,
    skipna: bool = True,
    threshold: Levels,
    scale_km: Levels | None = None,
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
) -> Labelled:
    """Map the probability of exceedance, at points or in neighbourhoods.

    It is the share of the members at or above the threshold. With `scale_km` it is averaged in a
    window around every point, the neighbourhood ensemble probability (Schwartz and Sobash, 2017).
    Of a field without members, such as the truth, it is 0 or 1, or the fraction of the window.

    Parameters
    ----------
    ens : xarray.DataArray or xarray.Dataset, (member, ...)
        Ensemble, or a field without members.
    member_dim : Hashable, optional
        As for :func:`xresdiff.crps`.
    skipna : bool, default True
        Average the points of a window that are known; else one that is missing makes the
        window NaN. A point where a member is NaN is NaN in any case.
    threshold : float or sequence of float
        As for :func:`xresdiff.contingency`.
    scale_km, sides, spacing_km
        As for :func:`fss`; no windows by default. At the edges of the field windows hold the points
        that there are. A window of an even number of points is centred half a point before its own.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (threshold, scale, ...)
        Probability from 0 to 1, for the points of `ens`. A single threshold or scale makes no
        dimension.

    Raises
    ------
    InputError
        If there is no threshold, or with `scale_km` as :func:`fss`.

    References
    ----------
    Schwartz, C. S., Sobash, R. A. (2017). Generating probabilistic forecasts from convection-
    allowing ensembles using neighborhood approaches: a review and recommendations. Mon. Wea. Rev.
    145, 3397-3418, doi:10.1175/MWR-D-16-0400.1.

    Examples
    --------
    >>> ens = xr.DataArray([[[0.0, 0.0, 4.0]], [[0.0, 4.0, 4.0]]], dims=("member", "y", "x"))
    >>> probability(ens, threshold=1.0).values
    array([[0. , 0.5, 1. ]])
    >>> probability(ens, threshold=1.0, scale_km=3.0, sides=("y", "x"), spacing_km=1.0).values
    array([[0.25, 0.5 , 0.75]])
    """
    levels = as_levels(threshold, "threshold")
    title, plane = "probability of exceedance", None
    sizes: tuple[Size, ...] = ()
    if scale_km is not None:
        title, plane = f"neighbourhood {title}", plane_of(ens, sides, spacing_km, window=None)
        sizes, ens = _sizes(as_levels(scale_km, "scale_km"), plane.spacing), _on_grid(ens, plane)

    def shares(pair: Pair) -> xr.DataArray:
        if plane is None:
            new = {"threshold": len(levels)}
            return pair.apply(kernels.exceedance, new_dims=new, thresholds=levels)
        options = {"thresholds": levels, "sizes": sizes, "skipna": skipna}
        return _apply(pair, kernels.fractions, plane.dims, [], plane.dims, options)

    truth = ens if find_member_dim(ens, member_dim) is None else None  # it makes up for members
    result = by_variable(shares, title, ens, truth, member_dim, (), None, skipna, "1")
    result = with_levels(result, ens, threshold)
    if scale_km is not None:
        result = _with_scales(result, scale_km, sizes)
    return result.transpose("threshold", "scale", ..., missing_dims="ignore")


def fss(
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    threshold: Levels,
    scale_km: Levels,
    edges: Edges = "shrink",
    sides: Sides | None = None,
    spacing_km: Spacing | None = None,
    ci: float | None = None,
) -> Labelled:
    r"""Score events in neighbourhoods with the fractions skill score (FSS).

    .. math:: 1 - \frac{\overline{(P_f - P_o)^2}}{\overline{P_f^2} + \overline{P_o^2}}

    :math:`P_o` is the fraction of the points of a window with an event, a value at or above the
    threshold; :math:`P_f` that of the forecast (Roberts and Lean, 2008), or of an ensemble the
    average over the window of the share of the members (Duc et al., 2013), so that larger
    ensembles score better (Necker et al., 2024). Both averages are over all windows and all of
    `dim`, before they are divided.

    Parameters
    ----------
    ens, obs
        As for :func:`xresdiff.crps`, on a grid; of a Dataset the variables on the grid count.
    dim
        As for :func:`xresdiff.crps`; the two horizontal dimensions are averaged in any case.
    member_dim
        As for :func:`xresdiff.crps`.
    weights : xarray.DataArray, optional
        Weights of the windows, by their centres.
    skipna : bool, default True
        Leave out points where `obs` or a member is NaN: no window is counted around them, and
        they are in neither fraction. Else one such point makes the score of its field NaN.
    threshold : float or sequence of float
        As for :func:`xresdiff.contingency`.
    scale_km : float or sequence of float
        Width of the windows, rectangles, in km. Along each side they have the whole number of
        points nearest to that width, one at least: a point stands for one spacing, so 3 points 2 km
        apart for 6 km. Of an even number, one more point lies before the centre than behind it.
    edges : {"shrink", "inside", "zero"}, default "shrink"
        What a window does at the edge of the field: hold the points that there are; not count,
        nor where it holds a missing point; or count those outside as points without the event.
        The last is the usual filter that pads with zeros; it takes for known what is not.
    sides : tuple of Hashable, optional
        The two horizontal dimensions, y first; found by their coordinates by default.
    spacing_km : float or tuple of float, optional
        Distance of the points in km, along the first and the second of `sides` if two are given.
        Taken from the coordinates by default, as for :func:`xresdiff.spectrum`.
    ci
        As for :func:`xresdiff.crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., threshold, scale)
        FSS from 0 to 1, which is perfect; NaN where neither forecast nor truth has an event, and
        where nothing is known. A single threshold or scale makes no dimension. `scale` is in km;
        the coordinates `window_y` and `window_x` are the points of the windows. A forecast is
        useful from about :math:`0.5 + f_o / 2` on, :math:`f_o` being the share of points
        with an event (Roberts and Lean, 2008). With ``edges="shrink"`` and windows twice as wide
        as the field, each holds all of it: :math:`2 f_f f_o / (f_f^2 + f_o^2)`, what the
        bias in frequency leaves.

    Raises
    ------
    InputError
        As :func:`xresdiff.crps`; if there is no evenly spaced grid, or no scale above zero.
    UnitsError
        If the units do not convert.

    References
    ----------
    Roberts, N. M., Lean, H. W. (2008). Scale-selective verification of rainfall accumulations from
    high-resolution forecasts of convective events. Mon. Wea. Rev. 136, 78-97,
    doi:10.1175/2007MWR2123.1.

    Duc, L., Saito, K., Seko, H. (2013). Spatial-temporal fractions verification for high-resolution
    ensemble forecasts. Tellus A 65, 18171, doi:10.3402/tellusa.v65i0.18171.

    Necker, T., Wolfgruber, L., Kugler, L., Weissmann, M., Dorninger, M., Serafin, S. (2024). The
    fractions skill score for ensemble forecast verification. Q. J. R. Meteorol. Soc. 150,
    4457-4477, doi:10.1002/qj.4824.

    Notes
    -----
    With ``edges="zero"`` it is the score of pysteps. `scores.spatial.fss_2d` is the same without
    padding as with ``edges="inside"``; with zero padding it counts one row and column of windows
    more behind the field, which changes the score by some thousandths.

    Examples
    --------
    >>> obs = xr.DataArray(np.eye(8), dims=("y", "x"))
    >>> shifted = obs.roll(x=1)
    >>> grid = {"sides": ("y", "x"), "spacing_km": 1.0}
    >>> fss(shifted, obs, threshold=1.0, scale_km=[1, 3, 99], **grid).values
    array([0.  , 0.81, 1.  ])
    """
    levels, scales = as_levels(threshold, "threshold"), as_levels(scale_km, "scale_km")
    if edges not in get_args(Edges):
        raise InputError(f"type edges='shrink', 'inside' or 'zero', not {edges!r}")
    plane = plane_of(ens, sides, spacing_km, window=None)
    sizes = _sizes(scales, plane.spacing)
    options = {"thresholds": levels, "sizes": sizes, "edges": edges, "skipna": skipna}

    def points(pair: Pair) -> xr.DataArray:
        fields = [pair.obs, *weights_of(pair, weights)]
        errors = _apply(pair, kernels.fraction_errors, plane.dims, fields, ["part"], options)
        return errors.expand_dims(plane.dims)  # of one point: they are averaged already

    title = "fractions skill score"
    what = Measure(title, points, kernels.fractions_skill, units="1", whole=plane.dims)
    result = measure(
        what,
        _on_grid(ens, plane),
        obs,
        dim=with_dims(dim, plane.dims),
        member_dim=member_dim,
        skipna=skipna,
        ci=ci,
    )
    return _with_scales(with_levels(result, ens, threshold), scale_km, sizes)


def _sizes(scales: Sequence[float], spacing: tuple[float, float]) -> tuple[Size, ...]:
    """Count the points of every window along y and x."""
    if min(scales) <= 0:
        raise InputError(f"scale_km is a width in km, above zero, not {min(scales):g}")
    dy, dx = spacing
    return tuple((max(1, int(s / dy + 0.5)), max(1, int(s / dx + 0.5))) for s in scales)


def _on_grid(data: Labelled, plane: Plane) -> Labelled:
    """Leave out the variables of a Dataset that have no rows and columns."""
    if isinstance(data, xr.DataArray):
        return data
    return data[[name for name, variable in data.data_vars.items() if plane.has(variable)]]


def _apply(
    pair: Pair,
    kernel: Callable[..., Any],
    sides: Sides,
    fields: Sequence[xr.DataArray],
    new: Sequence[Hashable],
    options: dict[str, Any],
) -> xr.DataArray:
    """Apply a kernel ``(..., m, y, x), (..., y, x) -> (..., t, s, *new)`` to whole fields."""
    if not set(sides) <= set(pair.ens.dims):
        raise InputError(
            f"neighbourhoods need fields along {sides}, obs is along {pair.obs.dims}: give fields "
            "on the grid of the forecast, not values at stations"
        )
    sizes = {"threshold": len(options["thresholds"]), "scale": len(options["sizes"]), "part": 2}
    own = ["threshold", "scale", *new]
    shape = {side: pair.ens.sizes[side] for side in sides}
    spread = [f.expand_dims({d: n for d, n in shape.items() if d not in f.dims}) for f in fields]
    whole = [
        f if f.chunks is None else f.chunk(dict.fromkeys(sides, -1)) for f in (pair.ens, *spread)
    ]
    return xr.apply_ufunc(
        kernel,
        *whole,
        kwargs=options,
        input_core_dims=[[pair.member, *sides], *([*sides] for _ in fields)],
        output_core_dims=[own],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {d: n for d, n in sizes.items() if d in own}},
        keep_attrs=True,  # of the coordinates; those of the data are set at the end
    )


def _with_scales(result: Labelled, scale_km: Levels, sizes: Sequence[Size]) -> Labelled:
    """Label the dimension `scale`, or drop it if there is but one."""
    rows, columns = zip(*sizes, strict=True)
    labelled = result.assign_coords(
        scale=(
            "scale",
            list(as_levels(scale_km, "scale_km")),
            {"long_name": "width of the window", "units": "km"},
        ),
        window_y=("scale", list(rows), {"long_name": "rows of the window", "units": "1"}),
        window_x=("scale", list(columns), {"long_name": "columns of the window", "units": "1"}),
    )
    return labelled.isel(scale=0) if np.ndim(scale_km) == 0 else labelled

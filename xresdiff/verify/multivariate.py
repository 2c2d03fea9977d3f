"""Scores of whole fields, taken as vectors: whether the points of a field fit together.

The scores themselves are those of scoringrules (the extra ``verify``).
"""

from collections.abc import Callable, Hashable, Iterable
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, MissingDependencyError
from xresdiff.verify.arguments import listed
from xresdiff.verify.kernels.blocks import Floats
from xresdiff.verify.measures import Measure, first, measure, time_of
from xresdiff.verify.pairs import Pair, find_member_dim
from xresdiff.verify.types import Data, Dims, Labelled

__all__ = ["energy_score", "variogram_score"]

Over: TypeAlias = Hashable | Iterable[Hashable]

#: Tells how much memory a score takes for one vector, of its members and its length.
Needed: TypeAlias = Callable[[int, int], int]

#: Memory that scoringrules may take for the variogram of one field.
MOST_BYTES = 2 * 2**30

#: Memory to work on vectors in, several at a time as far as they are short.
BATCH_BYTES = 2**23


def energy_score(
    ens: Labelled,
    obs: Data,
    *,
    over: Over,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    fair: bool = True,
    reference: Data | None = None,
    ci: float | None = None,
) -> Labelled:
    r"""Score whole fields with the energy score, the CRPS of vectors.

    .. math:: \frac1m \sum_i |x_i - y| - \frac{1}{2 m (m - 1)} \sum_{i,j} |x_i - x_j|

    with the Euclidean norm over all points of `over`, for each of the other dimensions.

    Differences are taken from the truth, in float64, so nothing is lost where a field varies
    little around a large value. Members and the truth span as many directions as there are members
    at most; their distances are kept by a rotation into these, so a score needs a few times the
    memory of the fields it compares, not that of all pairs of members.

    Parameters
    ----------
    ens, obs, member_dim, reference, ci
        As for :func:`xresdiff.verify.scores.crps`.
    over : Hashable or iterable of Hashable
        Dimensions of the vectors, such as ``("y", "x")``. Of a Dataset each variable has vectors
        of its own; for vectors of several variables, brought to one unit, give
        ``ens.to_array("variable")`` and name that dimension too.
    dim : Hashable or iterable of Hashable, optional
        Dimensions to average, of those not in `over`; all of them by default, none for ``dim=()``.
    weights : xarray.DataArray, optional
        Weights of the average, so without the dimensions in `over`.
    skipna : bool, default True
        Leave out of the average the vectors with any NaN in the truth or a member; their score is
        NaN, not that of the rest.
    fair : bool, default True
        Divide the double sum by :math:`m (m - 1)` and not by :math:`m^2`, so that ensembles of any
        size are scored as an unlimited one of the same distribution would be (Ferro, 2014).

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Energy score in the units of `ens`: 0 is perfect, smaller is better. It grows with the root
        of the number of points.

    Raises
    ------
    InputError
        If `over` is not there or is in `dim` or `weights`, if `fair` with a single member, and as
        :func:`xresdiff.verify.scores.crps`.
    MissingDependencyError
        If scoringrules is not installed.

    References
    ----------
    Gneiting, T., Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and estimation.
    J. Am. Stat. Assoc. 102, 359-378, doi:10.1198/016214506000001437.

    Ferro, C. A. T. (2014). Fair scores for ensemble forecasts. Q. J. R. Meteorol. Soc. 140,
    1917-1923, doi:10.1002/qj.2270.

    Examples
    --------
    >>> ens = xr.DataArray([[3.0, 4.0], [3.0, 8.0]], dims=("member", "x"))
    >>> energy_score(ens, xr.DataArray([0.0, 0.0], dims="x"), over="x", fair=False).item()
    5.77
    """
    _scoringrules()
    vector = _names(over, dim)

    def points(pair: Pair) -> xr.DataArray:
        return _apply(_energy, bytes_of_energy, pair, vector, fair, ci)

    several = fair and find_member_dim(ens, member_dim) is not None
    title = "fair energy score" if several else "energy score"
    what = Measure(title, points, first, whole=vector)
    return measure(
        what,
        ens,
        obs,
        dim=dim,
        member_dim=member_dim,
        weights=weights,
        skipna=skipna,
        reference=reference,
        ci=ci,
    )


def variogram_score(
    ens: Labelled,
    obs: Data,
    *,
    over: Over,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    fair: bool = True,
    p: float = 0.5,
    reference: Data | None = None,
    ci: float | None = None,
) -> Labelled:
    r"""Score the differences between the points of a field with the variogram score.

    .. math:: \sum_{i,j} \Big(|y_i - y_j|^p - \frac1m \sum_k |x_{k,i} - x_{k,j}|^p\Big)^2

    over all pairs of points of `over`, for each of the other dimensions. It tells apart ensembles
    with right and wrong correlations better than the energy score does, and does not see a bias
    that is the same everywhere.

    Parameters
    ----------
    ens, obs, over, dim, member_dim, weights, skipna, reference, ci
        As for :func:`energy_score`. Time and memory grow with the square of the number of points.
    fair : bool, default True
        Less the variance of the members' mean, so that ensembles of any size are scored as an
        unlimited one of the same distribution would be (Ferro, 2014).
    p : float, default 0.5
        Power of the differences.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Variogram score, in the units of `ens` to the power 2 p: 0 is perfect, smaller is better.

    Raises
    ------
    InputError
        If there are too many points, if `p` is not positive, and as :func:`energy_score`.
    MissingDependencyError
        If scoringrules is not installed.

    References
    ----------
    Scheuerer, M., Hamill, T. M. (2015). Variogram-based proper scoring rules for probabilistic
    forecasts of multivariate quantities. Mon. Wea. Rev. 143, 1321-1334,
    doi:10.1175/MWR-D-14-00269.1.

    Examples
    --------
    >>> ens = xr.DataArray([[0.0, 4.0], [0.0, 9.0]], dims=("member", "x"))
    >>> variogram_score(ens, xr.DataArray([0.0, 1.0], dims="x"), over="x", fair=False).item()
    4.5
    """
    _scoringrules()
    vector = _names(over, dim)
    if p <= 0:
        raise InputError(f"differences need a positive power, not p={p}: p=0.5")

    def points(pair: Pair) -> xr.DataArray:
        _check_size(pair, vector)
        return _apply(partial(_variogram, p=p), bytes_of_variogram, pair, vector, fair, ci)

    several = fair and find_member_dim(ens, member_dim) is not None
    title = f"{'fair ' * several}variogram score of power {p:g}"
    what = Measure(title, points, first, whole=vector)
    result = measure(
        what,
        ens,
        obs,
        dim=dim,
        member_dim=member_dim,
        weights=weights,
        skipna=skipna,
        reference=reference,
        ci=ci,
    )
    _raise_units(result, 2 * p)
    return result


def _scoringrules() -> Any:
    """Import scoringrules.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import scoringrules
    except ImportError as error:
        raise MissingDependencyError(
            "scores of vectors are those of scoringrules, which is not installed. Install it with: "
            "pip install scoringrules"
        ) from error
    return scoringrules


def _names(over: Over, dim: Dims) -> tuple[Hashable, ...]:
    """List the dimensions of the vectors, none of which may be told to be averaged."""
    vector = listed(over)
    both = () if dim is None or dim is ... else tuple(d for d in listed(dim) if d in vector)
    if both:
        rest = tuple(d for d in listed(dim) if d not in vector)
        raise InputError(
            f"the vectors are over {vector}, of which dim has {both}: average the others, "
            f"dim={rest!r}"
        )
    return vector


def _check_vector(pair: Pair, vector: tuple[Hashable, ...], ci: float | None) -> None:
    """Refuse vectors along dimensions that are not there, have weights or are drawn from."""
    there = tuple(d for d in pair.ens.dims if d != pair.member)
    if not set(vector) <= set(there):
        raise InputError(f"no vectors over {vector}: there is {there}. Name some, over={there!r}")
    weighted = () if pair.weights is None else pair.weights.dims
    both = tuple(d for d in vector if d in weighted)
    if both:
        raise InputError(
            f"the weights have {both}, over which the vectors are; weigh what is averaged only, "
            f"weights.isel({both[0]}=0), or leave weights out"
        )
    if ci is not None and time_of(pair) in vector:
        raise InputError(
            f"an interval needs times to draw from, but the vectors are over {vector}: "
            "leave the times out of over, or leave ci out"
        )


def _check_size(pair: Pair, vector: tuple[Hashable, ...]) -> None:
    """Refuse to compare more pairs of points than fit into memory."""
    size = int(np.prod([pair.ens.sizes.get(d, 1) for d in vector]))
    needed = bytes_of_variogram(pair.members, size)
    if needed > MOST_BYTES:
        step = 1 + int((needed / MOST_BYTES) ** (0.5 / len(vector)))
        thinner = ", ".join(f"{d}=slice(None, None, {step})" for d in vector)
        raise InputError(
            f"the pairs of {size} points of {pair.members} members need {needed / 2**30:.3g} GB of "
            f"memory for each field, {MOST_BYTES / 2**30:.3g} GB are allowed. Choose fewer points, "
            f"ens.isel({thinner}), or coarsen both"
        )


def bytes_of_variogram(members: int, size: int) -> int:
    """Tell how much memory scoringrules takes for one field: two temporaries, and its weights."""
    return 8 * (2 * members + 4) * size**2


def bytes_of_energy(members: int, size: int) -> int:
    """Tell how much memory the energy score of one field takes: it, its rotation, and pairs."""
    return 8 * members * (4 * size + 2 * members * min(members, size))


def _apply(
    rule: Callable[..., Floats],
    needed: Needed,
    pair: Pair,
    vector: tuple[Hashable, ...],
    fair: bool,
    ci: float | None,
) -> xr.DataArray:
    """Score every vector of a pair; dimensions of the vectors that are averaged too have size 1."""
    several = fair and not pair.deterministic
    if several:
        pair.require_two_members("a fair score of vectors", "type fair=False")
    _check_vector(pair, vector, ci)
    whole = dict.fromkeys(vector, -1)
    lacking = {d: pair.ens.sizes[d] for d in vector if d not in pair.obs.dims}
    fields = [pair.ens, pair.obs.expand_dims(lacking)]
    scored = xr.apply_ufunc(
        _score,
        *(field if field.chunks is None else field.chunk(whole) for field in fields),
        kwargs={"rule": rule, "needed": needed, "sides": len(vector), "fair": several},
        input_core_dims=[[pair.member, *vector], [*vector]],
        output_core_dims=[["part"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"part": 1}},
        keep_attrs=True,  # of the coordinates
    )
    return scored.expand_dims([d for d in vector if d in pair.dims])


def _score(
    ens: Floats, obs: Floats, *, rule: Callable[..., Floats], needed: Needed, sides: int, fair: bool
) -> Floats:
    """Score vectors, ``(..., m, *sides), (..., *sides) -> (..., 1)``, a batch at a time.

    NaN where anything is not finite.
    """
    cases, m = ens.shape[: ens.ndim - sides - 1], ens.shape[ens.ndim - sides - 1]
    obs = np.broadcast_to(obs, cases + obs.shape[obs.ndim - sides :])
    scores = np.full(prod(cases), np.nan)
    size = prod(obs.shape[len(cases) :])
    step = max(BATCH_BYTES // max(needed(m, size), 1), 1)
    every = list(np.ndindex(cases))
    for start in range(0, len(every), step):
        batch = every[start : start + step]
        members = np.array([ens[case].reshape(m, size) for case in batch], np.float64)
        truth = np.array([obs[case].reshape(size) for case in batch], np.float64)
        known = np.isfinite(members).all((1, 2)) & np.isfinite(truth).all(1)
        if not known.all():
            members, truth = members[known], truth[known]
        if len(truth):
            scores[start : start + step][known] = rule(truth, members, fair=fair)
    return scores.reshape(*cases, 1)


def _fair(scores: Floats, alone: Floats) -> Floats:
    """Make scores of m members fair, ``(n), (n, m) -> (n)``, by those of each member alone.

    Both scores here are the mean score of the members alone, less a mean over pairs of members:
    fair if no member is paired with itself, so the latter is multiplied by m / (m - 1).
    """
    m, mean = alone.shape[1], alone.mean(1)
    return mean - (mean - scores) * m / (m - 1)


def _energy(truth: Floats, members: Floats, *, fair: bool) -> Floats:
    """Energy scores of vectors of any length, ``(n, size), (n, m, size) -> (n)``.

    What matters are distances, so the truth is made the origin, and the vectors of the m members,
    which span m directions at most, are rotated into these: scoringrules gets m numbers of each.
    """
    errors = members - truth[:, None]
    if errors.shape[2] > errors.shape[1]:
        errors = np.asarray(np.linalg.qr(errors.swapaxes(1, 2), mode="r")).swapaxes(1, 2)
    score = partial(_scoringrules().es_ensemble, estimator="nrg", backend="numpy")
    scores = score(np.zeros_like(errors[:, 0]), errors)
    return _fair(scores, score(np.zeros_like(errors), errors[:, :, None])) if fair else scores


def _variogram(truth: Floats, members: Floats, *, fair: bool, p: float) -> Floats:
    """Variogram scores of vectors, ``(n, size), (n, m, size) -> (n)``."""
    score = partial(_scoringrules().vs_ensemble, p=p, backend="numpy")
    scores = score(truth, members)
    if not fair:
        return scores
    alone = [score(truth, members[:, i : i + 1]) for i in range(members.shape[1])]
    return _fair(scores, np.stack(alone, axis=1))


def _raise_units(scored: Data, power: float) -> None:
    """Write the units of a power of what has units."""
    fields = [scored] if isinstance(scored, xr.DataArray) else scored.data_vars.values()
    for field in fields:
        units = field.attrs.get("units", "1")
        if power != 1 and units != "1":
            field.attrs.pop("units_metadata", None)  # of a difference
            field.attrs["units"] = f"{units}{power:g}" if units.isalpha() else f"({units}){power:g}"

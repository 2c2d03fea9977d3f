"""Earth2Studio's generic CorrDiff package: a folder of two checkpoints and what they are of.

::

    metadata.json             variables, sampler
    stats.json                means and standard deviations
    output_latlon_grid.nc     target
    input_latlon_grid.nc      coarse grid; or else "latlon_res" in metadata.json
    invariants.nc             fields of the target, if there are any
    regression.mdlus          PhysicsNeMo's checkpoint of the mean
    diffusion.mdlus           of the residual
"""

from dataclasses import replace
from pathlib import Path

from xresdiff.models.published.package_files import M, Metadata
from xresdiff.models.published.package_parts import Parts, base_card, extras_of, read_parts
from xresdiff.models.published.translation import Translation

__all__ = ["check_mode", "translate"]


def translate(folder: Path, name: str) -> Translation:
    """Translate a package.

    Grids of any shape and order are taken, 1-D and 2-D, beside those that Earth2Studio runs; so is
    one step, and the deterministic sampler with a diffusion that is told the mean. Fields come from
    the grid that the user has, whatever the coarse grid of the package, so that
    ``grid_spacing_tolerance`` has no meaning.

    Parameters
    ----------
    folder : Path
        Of the package.
    name : str
        Of the model, for its card.

    Returns
    -------
    Translation
        Ready to be written.

    Raises
    ------
    ModelError
        If anything is missing, does not go together or cannot be expressed; every problem is
        named.

    Examples
    --------
    >>> translate(Path("nowhere"), "mine")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: cannot read the Earth2Studio package nowhere: metadata.json is ...
    """
    parts = read_parts(folder, Metadata, what="Earth2Studio package")
    metadata = parts.metadata
    channels = parts.channels("input"), parts.channels("output")
    known = {"inputs": len(metadata.input_variables), "invariants": len(parts.statics.names)}
    parts.check_networks(known, {})
    check_mode(parts)
    parts.check_sigmas()
    parts.finish()
    card = base_card(name, parts, channels, extras_of(parts.statics, parts.stats))
    card = replace(card, description=card.description + _description(metadata))
    return parts.translation(card, *parts.grids)


def check_mode(parts: Parts[M]) -> None:
    """See that the residual does not stand alone."""
    if parts.metadata.inference_mode == "diffusion":
        parts.problems.append(
            "metadata.json says inference_mode 'diffusion': the residual without the mean that it "
            'is a residual of, which is no weather. Type "inference_mode": "both"'
        )


def _description(metadata: Metadata) -> str:
    text = ""
    if metadata.inference_mode == "regression":
        text += " Its authors take the mean alone: downscale(..., stage='mean')."
    if metadata.seed is not None:
        text += f" There, it draws from seed {metadata.seed} unless told otherwise."
    if metadata.number_of_samples > 1:
        text += f" There, it draws {metadata.number_of_samples} members unless told otherwise."
    if metadata.grid_bounds_margin > 0:
        text += " There, it extrapolates beyond its coarse grid; here, the input must cover the"
        text += " target."
    return text

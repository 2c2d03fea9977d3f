"""What a card says in words: name, title, description, and where the data are from."""

import re
from typing import Any

import xarray as xr

from xresdiff.models.card import Channel, DataSource, FixedTarget, RefineTarget
from xresdiff.models.package import Model

__all__ = ["NOT_STATED", "fresh_words", "sources", "tuned_words"]

NOT_STATED = "not stated"
MOST_NAMES = 3  # of variables, in a title
LONGEST_NAME = 50  # letters of a long name, in a title

_TITLES = ("title", "source", "dataset", "id")
_OWNERS = ("institution", "institute", "creator_name", "source")
_LICENCES = ("license", "licence", "rights")
_PLACES = ("doi", "references", "further_info_url", "url")


def fresh_words(
    outputs: tuple[Channel, ...],
    target: RefineTarget | FixedTarget,
    data: tuple[DataSource, ...],
    name: str | None,
) -> dict[str, Any]:
    """Return the fields of a card that are in words, for a new model."""
    names = list(dict.fromkeys(channel.name for channel in outputs))
    some = _listed(names)
    if isinstance(target, RefineTarget):
        fine_km = target.spacing_km / target.factor
        where, end = "anywhere", f"{target.factor}x"
    else:
        fine_km, where = target.spacing_km, f"on one grid ({target.region})"
        end = f"{fine_km:.3g}km"
    coarse_km = target.coarse_spacing_km if isinstance(target, FixedTarget) else target.spacing_km
    stem = "-".join(names) if len(names) < MOST_NAMES else f"{len(names)}-variables"
    title = _called(outputs[0]) if len(outputs) == 1 else some
    return {
        "name": name or re.sub(r"[^A-Za-z0-9._-]+", "-", f"{stem}-{end}").strip("-.") or "model",
        "version": "1",
        "title": f"{title} at {fine_km:.3g} km from fields of {coarse_km:.3g} km",
        "description": f"Gives {some} {where}. Trained from nothing.",
        "licence": NOT_STATED,
        "data": data,
    }


def tuned_words(start: Model, data: tuple[DataSource, ...], name: str | None) -> dict[str, Any]:
    """Return the fields of a card that are in words, for a model made from another one."""
    card = start.card
    origin = f"Fine-tuned from {start.name}@{start.sha256}."
    before = re.sub(r"\s*Fine-tuned from \S+@[0-9a-f]{64}\.", "", card.description).strip()
    tuned = start.name if start.name.endswith("-tuned") else f"{start.name}-tuned"
    return {
        "name": name or tuned,
        "version": "1",
        "title": card.title,
        "description": f"{before} {origin}".strip(),
        "licence": card.licence,
        "data": (*card.data, *(one for one in data if one not in card.data)),
    }


def sources(coarse: xr.Dataset, target: xr.Dataset) -> tuple[DataSource, ...]:
    """Return what the attributes of the Datasets tell of where they are from.

    Examples
    --------
    >>> attrs = {"title": "ERA5", "institution": "ECMWF", "license": "CC-BY-4.0"}
    >>> ds = xr.Dataset(attrs=attrs)
    >>> sources(ds, ds)
    (DataSource(name='ERA5', licence='CC-BY-4.0', attribution='ECMWF', url=''),)
    """
    found = (_source(ds, what) for what, ds in (("inputs", coarse), ("targets", target)))
    return tuple(dict.fromkeys(found))


def _called(channel: Channel) -> str:
    """Return what a quantity is called in a title."""
    name = channel.long_name or channel.standard_name.replace("_", " ")
    if not name or len(name) > LONGEST_NAME:
        return channel.label
    return f"{name[0].upper()}{name[1:]}"


def _source(ds: xr.Dataset, what: str) -> DataSource:
    return DataSource(
        name=_first(ds, _TITLES) or what,
        licence=_first(ds, _LICENCES) or NOT_STATED,
        attribution=_first(ds, _OWNERS),
        url=_first(ds, _PLACES),
    )


def _first(ds: xr.Dataset, names: tuple[str, ...]) -> str:
    """Return the first of some attributes, in one line without what no card may hold."""
    for name in names:
        value = ds.attrs.get(name)
        if isinstance(value, str) and value.strip():
            return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+", " ", value).split())
    return ""


def _listed(names: list[str]) -> str:
    if len(names) > MOST_NAMES:
        return f"{len(names)} variables"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)

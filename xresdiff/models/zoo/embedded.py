"""The models inside this package."""

import hashlib
from importlib import resources
from pathlib import Path

from xresdiff.models.card import CARD, ModelCard
from xresdiff.models.targets import FixedTarget
from xresdiff.models.zoo.entries import Entry

__all__ = ["entry_of", "folders"]


def folders() -> dict[str, Path]:
    """Return the folders of the models inside this package, by name."""
    root = Path(str(resources.files("xresdiff.models"))) / "embedded"
    return {card.parent.name: card.parent for card in sorted(root.glob(f"*/{CARD}"))}


def entry_of(folder: Path) -> Entry:
    """Return what the card of a model inside this package tells."""
    data = (folder / CARD).read_bytes()
    card = ModelCard.from_json(data)
    return Entry(
        name=folder.name,
        title=card.title,
        sha256=hashlib.sha256(data).hexdigest(),
        hash_source="xresdiff",
        size_bytes=sum(file.stat().st_size for file in folder.iterdir()),
        licence=card.licence,
        domain=card.target.region if isinstance(card.target, FixedTarget) else "anywhere",
        resolution=_resolution(card),
        inputs=tuple(channel.name for channel in card.inputs),
        outputs=tuple(channel.name for channel in card.outputs),
        citation="; ".join(card.references),
    )


def _resolution(card: ModelCard) -> str:
    target = card.target
    if isinstance(target, FixedTarget):
        return f"{target.coarse_spacing_km:g} -> {target.spacing_km:g} km"
    low, high = (f"{spacing:g}" for spacing in target.spacing_range_km)
    return f"{low}-{high} km, {target.factor} times finer"

"""Names of weights: ours of levels, theirs of heights in pixels."""

import re

__all__ = ["their_name"]

_WHOLE = {
    "places.maps": "pos_embd",
    "places.lead_times": "lt_embd",
    "added": "spatial_emb",
    "softmax_scale": "scalar",
}
_ADM = {"dec.level0_aux_norm.": "out_norm.", "dec.level0_aux_conv.": "out_conv."}


def their_name(name: str, *, height: int, adm: bool = False) -> str:
    """Return PhysicsNeMo's name of a weight of ours.

    Parameters
    ----------
    name : str
        Name in the state dict of `nets.unet.UNet`.
    height : int
        Of the finest level, in pixels.
    adm : bool, default False
        Whether the network is of the ADM style.

    Examples
    --------
    >>> their_name("enc.level1_block0.norm0.weight", height=32)
    'enc.16x16_block0.norm0.weight'
    """
    if name in _WHOLE:
        return _WHOLE[name]
    if adm:
        for ours, theirs in _ADM.items():
            name = name.replace(ours, theirs)

    def of_level(match: re.Match[str]) -> str:
        side = height >> int(match[2])
        return f"{match[1]}.{side}x{side}_"

    return re.sub(r"^(enc|dec)\.level(\d+)_", of_level, name.removeprefix("embed."))

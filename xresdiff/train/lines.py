"""What inference tells users to type, as it is to be typed in training."""

import re

__all__ = ["in_training"]

_DOWNSCALE = "ds.resdiff.downscale(accumulation="


def in_training(told: str, side: str, verb: str) -> str:
    """Return a problem with the names that Datasets and functions have in training.

    Parameters
    ----------
    told : str
        What inference says of ``ds``.
    side : {"coarse", "target"}
        What it is.
    verb : {"train", "finetune"}
        What the user called.

    Examples
    --------
    >>> in_training('ds.resdiff.downscale(accumulation="1h")', "coarse", "train")
    'train(coarse, target, accumulation="1h")'
    >>> in_training("ds['tp'] = -ds['tp']", "target", "train")
    "target['tp'] = -target['tp']"
    """
    told = told.replace(_DOWNSCALE, f"{verb}(coarse, target, accumulation=")
    return re.sub(r"\bds(?=\[|\.| = )", side, told)

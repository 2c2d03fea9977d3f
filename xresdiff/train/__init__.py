"""Paired Datasets in, model out: both stages, from nothing or from another model.

Read in this order: ``verbs`` (what a user calls), ``run`` (from two Datasets to a model), ``draft``
and ``settle`` (the card that follows from the data), ``pairs``, ``readers`` and ``patches``
(fields, lazily), ``stages`` (the two losses), ``loop`` (the loop), ``fit`` (one stage, then the
other).
"""

from xresdiff.train.verbs import finetune, history, train

__all__ = ["finetune", "history", "train"]

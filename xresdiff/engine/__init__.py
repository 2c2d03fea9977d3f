"""From a checked request to numbers, and from pairs of fields to a model.

Towards an ensemble: `request` (is it possible?), `blocks` (the lazy graph), `missing` and `labels`
(what goes in and comes out), `runtime` (networks on arrays) with `noise` and `tiles`. Towards a
model: `patches` (what is learned from), `stages` (the losses), `loop` (the training). Both share
`fields`, the way of a field into the networks and out of them.
"""

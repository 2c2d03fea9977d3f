"""How good an ensemble is: scores, spectra and case studies, labelled above, plain numpy below.

Scores are made in three steps. `pairs` brings a forecast and the truth to the same names, units and
points (`matching`, `stations`; `arguments` are checked first). A `Measure` says what is averaged
and which formula finishes it; `measures` does the averaging, for all scores in the same way, with
weights, references and intervals. The sums are in `kernels`, which knows nothing of labels.

`scores`, `spreads`, `tables`, `calibration`, `distributions`, `multivariate`, `events` and
`neighbourhoods` have one function per score; `spectra` has the waves, `weather` cyclones and
fronts, `weights` the areas of cells, and `methods` all of them as methods of ``.resdiff``.
All is lazy where its input is.
"""

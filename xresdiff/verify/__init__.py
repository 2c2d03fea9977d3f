"""How good an ensemble is: scores and spectra, labelled above, plain numpy below.

`scores` has one function per score, all with one signature; `formulas` says what each of them is,
of a forecast and the truth that `pairs` and `matching` have brought to the same names, units and
points; `spectra` has the power spectra, `weights` the areas of cells. The sums are in `kernels`,
which knows nothing of labels. All is lazy where its input is.
"""

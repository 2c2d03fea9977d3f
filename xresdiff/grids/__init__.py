"""Where the numbers are: coordinates found, target grids made, units converted, fields regridded.

``coords`` finds what is what in a Dataset, ``units`` converts it, ``cells`` knows where its cells
lie on the sphere, ``target`` makes the grid that is wanted, ``regrid`` moves fields there, and
``esmf`` computes the weights where ESMPy is not installed. Nothing here knows about models or
networks, and nothing computes lazy data: these modules read names, attributes and coordinates, and
hand back labelled, lazy objects.
"""

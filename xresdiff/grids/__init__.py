"""Where the numbers are: coordinates found, target grids made, units converted, fields regridded.

Nothing here knows about models or networks, and nothing computes lazy data: these modules read
names, attributes and one-dimensional coordinates, and hand back labelled, lazy objects.
"""

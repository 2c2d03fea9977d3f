"""Made-up Datasets that imitate the files of this field: names, order, attributes, coordinates.

All of them hold one weather, :func:`weather`, so that a result on any grid can be compared with
what was there. Along every other dimension it grows by `GROWTH` from one place to the next.
"""

from tests.datasets.forecasts import *  # noqa: F403
from tests.datasets.models import *  # noqa: F403
from tests.datasets.others import *  # noqa: F403
from tests.datasets.weather import *  # noqa: F403

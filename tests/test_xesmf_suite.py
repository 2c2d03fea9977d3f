"""xESMF's own tests pass with the stand-in for ESMPy, but for the few that are recorded."""

import pytest

from tests import xesmf_suite


@pytest.mark.slow
def test_xesmf_passes_its_own_tests(tmp_path):
    found = xesmf_suite.outcomes(tmp_path)
    assert len(found) > 100
    assert xesmf_suite.differences(found) == []

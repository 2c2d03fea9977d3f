"""xESMF is imported with ESMPy where there is one, and with a stand-in that only it sees."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from xresdiff.errors import MissingDependencyError
from xresdiff.grids.esmf import import_xesmf, weights_by

ESMPY = "__version__ = '1.2.3'\nclass Grid: pass\n"
XESMF = {
    "__init__.py": "from . import backend\nfrom .backend import Regridder",
    "backend.py": """
        import time
        try:
            import esmpy as ESMF
        except ImportError:
            import ESMF
        time.sleep(0.2)  # for other threads to come in between
        class Regridder(ESMF.Grid): pass
        """,
}
PRELUDE = """
    import json, sys, threading
    from xresdiff.grids.esmf import import_xesmf, weights_by
    def fails(name):
        try:
            __import__(name)
        except ImportError:
            return True
    def seen():
        import xesmf
        return xesmf.backend.ESMF.__name__
"""


@pytest.fixture
def run(tmp_path):
    """Return what runs code in a fresh interpreter, with modules of given texts on its path."""

    def run(code, **modules):
        for name, texts in modules.items():
            (tmp_path / name).mkdir()
            for file, text in ({"__init__.py": texts} if isinstance(texts, str) else texts).items():
                (tmp_path / name / file).write_text(textwrap.dedent(text))
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        lines = [sys.executable, "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(code)]
        env = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(lines, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


without_esmpy = pytest.mark.skipif(weights_by().startswith("ESMPy"), reason="ESMPy is installed")


@without_esmpy
def test_xesmf_alone_sees_the_stand_in():
    finders = list(sys.meta_path)
    xesmf = import_xesmf()
    assert xesmf.backend.ESMF.__name__ == "xresdiff.grids.esmf.standin"
    assert issubclass(xesmf.backend.Grid, xesmf.backend.ESMF.Grid)
    assert not {"esmpy", "ESMF"} & set(sys.modules)
    assert sys.meta_path == finders
    with pytest.raises(ImportError):
        import esmpy  # noqa: F401


@pytest.mark.parametrize("name", ["esmpy", "ESMF"])
def test_an_installed_esmpy_is_used(run, name):
    code = "import_xesmf(); print(json.dumps([seen(), weights_by()]))"
    assert run(code, xesmf=XESMF, **{name: ESMPY}) == [name, "ESMPy 1.2.3"]


def test_an_esmpy_that_does_not_import_is_told_of(run):
    broken = "raise ImportError('ESMFMKFILE is not set')"
    code = "import_xesmf(); print(json.dumps([seen(), weights_by()]))"
    used, told = run(code, xesmf=XESMF, esmpy=broken)
    assert used == "xresdiff.grids.esmf.standin"
    assert told.endswith("since esmpy is installed but does not import")


def test_an_xesmf_that_is_imported_already_is_returned(run):
    code = "import xesmf; print(json.dumps(import_xesmf() is xesmf))"
    assert run(code, xesmf=XESMF, esmpy=ESMPY)


@without_esmpy
def test_a_failed_import_of_xesmf_does_not_last(run):
    code = "print(json.dumps([fails('xesmf'), import_xesmf() is not None, seen(), fails('esmpy')]))"
    assert run(code, xesmf=XESMF) == [True, True, "xresdiff.grids.esmf.standin", True]


@without_esmpy
def test_threads_get_one_xesmf_and_others_no_esmpy(run):
    code = """
        found, failures, done = [], [], threading.Event()
        def elsewhere():
            while not done.is_set():
                failures.append(fails("esmpy"))
                done.wait(0.001)
        other = threading.Thread(target=elsewhere)
        other.start()
        threads = [threading.Thread(target=lambda: found.append(import_xesmf())) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        done.set(); other.join()
        print(json.dumps([len(found), len(set(map(id, found))), all(failures), len(failures) > 10]))
        """
    assert run(code, xesmf=XESMF) == [4, 1, True, True]


def test_a_missing_xesmf_is_asked_for(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "xesmf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "xesmf", None)
    with pytest.raises(MissingDependencyError, match="pip install xesmf"):
        import_xesmf()

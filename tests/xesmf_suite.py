"""Run xESMF's own tests, which it ships, with the stand-in under the name of ESMPy.

    python tests/xesmf_suite.py

They run in a process and a folder of their own, offline. The outcome must be the one recorded
here: every test passes but those of EXPECTED, each of which has its reason.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]

#: What does not pass, and why.
EXPECTED = {
    "test_backend::test_vector_regrid": "regridding vectors on the sphere is left to ESMPy itself",
}

# The only place where the stand-in goes by ESMPy's name: a module on the path of that process, and
# of the workers that it starts.
ESMPY = "from xresdiff.grids.esmf.standin import *\n"

# xarray refuses to make a Dataset of a Dataset since 2026, which keeps the module from loading.
REFUSED = "xr.Dataset(ds_in[['data']])"
ACCEPTED = "ds_in[['data']]"


def outcomes(folder: Path) -> dict[str, str]:
    """Run the tests in an empty folder; return "passed", "failed" or "skipped" of each."""
    _copy_tests(folder / "suite")
    (folder / "path").mkdir()
    (folder / "path" / "esmpy.py").write_text(ESMPY)
    path = os.pathsep.join([str(folder / "path"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    report = folder / "report.xml"
    flags = ["-q", "-p", "no:cacheprovider", "-p", "no:warnings", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, "--rootdir", str(folder / "suite"), "."],
        cwd=folder / "suite",
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.exists():
        raise RuntimeError(f"the tests of xESMF did not run:\n{done.stdout}\n{done.stderr}")
    return {_name(case): _outcome(case) for case in ElementTree.parse(report).iter("testcase")}


def differences(found: dict[str, str]) -> list[str]:
    """Say what is not as expected."""
    bad = {name for name, outcome in found.items() if outcome != "passed"}
    return [
        *(f"{name} {found[name]}" for name in sorted(bad - set(EXPECTED))),
        *(f"{name} passed; take it out of EXPECTED" for name in sorted(set(EXPECTED) - bad)),
    ]


def _copy_tests(folder: Path) -> None:
    """Copy the tests of the installed xESMF, and mend what keeps them from loading."""
    spec = find_spec("xesmf")  # finds the package without importing it
    assert spec is not None
    assert spec.submodule_search_locations is not None
    shutil.copytree(Path(spec.submodule_search_locations[0]) / "tests", folder)
    module = folder / "test_frontend.py"
    module.write_text(module.read_text().replace(REFUSED, ACCEPTED))


def _name(case: ElementTree.Element) -> str:
    """Return module::test of a test case."""
    module = case.get("classname", "").rpartition(".")[2]
    return f"{module}::{case.get('name')}"


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def main() -> None:
    """Run the tests and say what they gave; leave with 1 if that is not as expected."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = outcomes(Path(folder))
    seconds = time.perf_counter() - started
    counts = {kind: list(found.values()).count(kind) for kind in ("passed", "failed", "skipped")}
    print(", ".join(f"{n} {kind}" for kind, n in counts.items()), f"in {seconds:.0f} s")
    for name, reason in EXPECTED.items():
        print(f"  {name}: {reason}")
    problems = differences(found)
    print("\n".join(problems) or "as expected")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()

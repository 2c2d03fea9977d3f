"""How the documentation is built; it needs no network."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

import sphinx_autosummary_accessors

import xresdiff

sys.path.insert(0, str(Path(__file__).parent))

project = "xresdiff"
author = "the authors of xresdiff"
project_copyright = author
release = version = version_of("xresdiff")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_autosummary_accessors",
    "model_cards",
]
templates_path = [sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py"]
root_doc = "index"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings tell, with shapes and units
numpydoc_show_class_members = False

# Pages that need data are run where there are some, and shown as they are elsewhere.
RUN = r"/(plot|paper)_" if os.environ.get("XRESDIFF_DATA") else r"/plot_"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": RUN,
    "ignore_pattern": r"^(?!(plot|paper)_)",
    "abort_on_example_error": True,
    "backreferences_dir": "api/generated/examples",
    "doc_module": ("xresdiff",),
    "download_all_examples": False,
    "remove_config_comments": True,
    "reset_modules": (),
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"xresdiff {release}"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False, "show_prev_next": False}

# Figures of the pages, and the examples, draw no bars.
xresdiff.set_options(progress=False)

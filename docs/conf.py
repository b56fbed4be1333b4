"""Sphinx settings; `make docs` builds with warnings as errors."""

from importlib.metadata import version as package_version

project = "rtcstack"
author = "the rtcstack contributors"
copyright = "the rtcstack contributors"  # noqa: A001 - Sphinx's name
release = version = package_version("rtcstack")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
# names of attributes in prose (`track`) may mean several classes: that is for the reader, not a broken link
suppress_warnings = ["ref.python"]
html_theme = "furo"
html_title = "rtcstack"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

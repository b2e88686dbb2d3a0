"""How the documentation site is built: `make docs`, from the Markdown pages and from the code."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = map(str, (ROOT, HERE / "_ext", *sorted(ROOT.glob("plugins/*/src"))))

from predis_core import __version__  # noqa: E402

project = "Predis"
author = "the Predis contributors"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "outside",
    "generated",
    "docstrings",
    "pictures",
]

# ------------------------------------------------------------------ pages

# Examples are pages too: `outside` makes Markdown of them before they are parsed.
source_suffix = {".md": "markdown", ".py": "markdown"}
exclude_patterns = ["conf.py", "_ext", "_static"]
outside_pages = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "examples/*.py",
    "plugins/*/README.md",
    "benchmarks/eviction/README.md",
    "benchmarks/instructions/README.md",
]
outside_names = {"README.md": "index"}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
highlight_language = "none"

# ------------------------------------------------------------------ what is taken from the code

default_role = "code"
smartquotes_action = "D"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("Bools", "KeyKind", "Loader", "TTL")}
autodoc_type_aliases["npt.DTypeLike"] = "npt.DTypeLike"
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"
napoleon_use_rtype = False
nitpicky = True
# Nothing is fetched to build the site, so what is defined elsewhere has nowhere to lead.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(collections|ctypes|datetime|hypothesis|msgspec|np|npt|numpy|os|pathlib|pluggy|typing)\..*",
    ),
    ("py:class", r"P|predis_core\.memoize\.functions\.R"),
    ("py:class", r"predis_core\.(mapping\.[KVD]|stores\.base\.Store|views\.Cache(Items|Values))"),
    # What the model of the testing kit hands out only to be given back.
    ("py:class", r"predis_core\.testing\.(departures\.Held|known\.Pin)"),
    # What tiers are given by their cache.
    ("py:class", r"predis_core\.table\.(layout\.Layout|interface\.Removed)"),
]

# ------------------------------------------------------------------ how it looks

html_theme = "furo"
html_title = "Predis"
html_static_path = ["_static"]
html_css_files = ["predis.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None
pygments_style = "default"
pygments_dark_style = "github-dark"
html_theme_options = {
    "light_logo": "wordmark-light.svg",
    "dark_logo": "wordmark-dark.svg",
    "sidebar_hide_name": True,
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#0b6e69",
        "color-brand-content": "#0b6e69",
        "color-brand-visited": "#0b6e69",
    },
    "dark_css_variables": {
        "color-brand-primary": "#5fd0c5",
        "color-brand-content": "#5fd0c5",
        "color-brand-visited": "#5fd0c5",
    },
}

"""How the documentation becomes a site: `make docs` writes docs/_build/html.

The source folder is the whole repository, so that a link between two pages is the same on a code host and here.
Nothing is fetched, neither by the build nor by its pages: formulas are MathML, fonts are the reader's own.
"""

import sys
from pathlib import Path

import radii

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "radii"
author = "The radii maintainers"
copyright = f"2026, {author}"
version = release = radii.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "commands", "docstrings", "mathml"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/math/*.md",
    "notebooks/*.ipynb",
    "results/*/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
# folders that hold no page are not even looked through
exclude_patterns = [".*", "build", "demo", "dist", "runs", "src", "tests", "docs/_build"]
nitpicky = True
# other packages are not asked for their names
nitpick_ignore_regex = [("py:.*", r"(?!radii\.).*")]

nb_execution_mode = "off"  # notebooks are shown as they are stored; the tests run them
nb_render_markdown_format = "myst"  # with tables
myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "dollarmath"]
myst_dmath_allow_space = False  # as code hosts read dollars
myst_dmath_allow_labels = False  # formulas have no numbers
smartquotes = False  # two hyphens begin an option

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100
python_use_unqualified_type_names = True

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "radii"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["root"]  # the first page stands in a folder: lead there
html_copy_source = False
html_show_sphinx = False

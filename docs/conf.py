"""How the documentation becomes a site: `make docs` writes docs/_build/html.

The source folder is the whole repository, so that a link between two pages is the same on a code host and here.
Nothing is fetched, neither by the build nor by its pages: formulas are MathML, fonts are the reader's own.
"""

import sys
from pathlib import Path

import radii

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "radii"
author = "The radii maintainers"
copyright = f"2026, {author}"
version = release = radii.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "accessible",
    "commands",
    "docstrings",
    "mathml",
]
templates_path = [str(HERE / "templates")]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/math/*.md",
    "docs/api/*.rst",
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

# autosummary writes a page for each name in api.md, and removes none
for page in (HERE / "api").glob("*.rst"):
    if page.stem.removesuffix("-class") not in (HERE / "api.md").read_text().split():
        page.unlink(missing_ok=True)
# beside a function of the same letters, where files cannot differ in case alone
autosummary_filename_map = {
    f"radii.{plan}": f"radii.{plan}-class" for plan in ("Anytime", "Exhaustive", "Fixed", "Sequential")
}
# what users call; of other classes, all members with a docstring of their own are shown
autosummary_context = {
    "chosen_members": {
        **{f"radii.{kind.__name__}": "" for kind in radii.NOISES.values()},
        "radii.Noise": "perturb, output_shape, level, at_level, scale, outcomes",
        "radii.RadiusTarget": "levels",
        "radii.Sequential": "operating_characteristics",
        "radii.TopK": "",
        "radii.TwoStage": "",
        "radii.Anytime": "lower",
        "radii.Exhaustive": "",
        "radii.votes.plans.Plan": "n_max, per_image, outcomes, hypotheses, tested_labels",
        "radii.Smoothed": "vote, certify, predict",
    }
}
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100
python_use_unqualified_type_names = True

html_math_renderer = "mathml"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_title = "radii"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_extra_path = ["root"]  # the first page stands in a folder: lead there
html_copy_source = False
html_show_sphinx = False


def name_source(app, page, template, context, doctree):
    """Tell the page of a module's source from the page of the object of the same name."""
    if page.startswith("_modules/radii"):
        context["title"] = f"Source of {context['title']}"


def setup(app):
    app.connect("html-page-context", name_source)

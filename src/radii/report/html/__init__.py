"""Reports: runs compared on one page with curves to explore, tables, figures, images and the method."""

from radii.report.html.examples import Examples, choose_examples
from radii.report.html.page import write_report
from radii.report.html.runs import Run, check_one_data, of_smallest_k
from radii.report.html.thumbnails import MOST_PICTURES

__all__ = [
    "MOST_PICTURES",
    "Examples",
    "Run",
    "check_one_data",
    "choose_examples",
    "of_smallest_k",
    "write_report",
]

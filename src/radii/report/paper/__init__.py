"""Files for a paper: figures, tables and captions for LaTeX, and the data of each as CSV."""

from radii.report.paper.files import write_paper

__all__ = ["write_paper"]

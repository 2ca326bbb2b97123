"""Reports of a study: a page, Markdown, LaTeX tables, figures, runs as CSV, and a manifest that binds numbers to runs.

`all_tables` computes, the modules html, markdown and latex only show: so `verify` can compute every number again.
"""

from tinygrad_mlp.experiments.report.manifest import describe_cells
from tinygrad_mlp.experiments.report.markdown import markdown_table
from tinygrad_mlp.experiments.report.tables import all_tables
from tinygrad_mlp.experiments.report.write import write_report, write_summary

__all__ = ["all_tables", "describe_cells", "markdown_table", "write_report", "write_summary"]

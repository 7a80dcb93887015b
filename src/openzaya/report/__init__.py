"""One self-contained HTML page of a demo run: what was measured, and what is missing."""

from openzaya.report.page import write_report

__all__ = ["write_report"]

"""The report page: one self-contained file with tables, charts and pictures."""

from featlab.report.audit import audit_page
from featlab.report.central import central_page
from featlab.report.comparison import comparison_page, comparison_table
from featlab.report.page import Page, Section, render, write
from featlab.report.pictures import Picture, saliency_images, saliency_scale, save_png, to_png
from featlab.report.terminal import central_table
from featlab.report.theory import theory_page, theory_table

__all__ = [
    "Page",
    "Picture",
    "Section",
    "audit_page",
    "central_page",
    "central_table",
    "comparison_page",
    "comparison_table",
    "render",
    "saliency_images",
    "saliency_scale",
    "save_png",
    "theory_page",
    "theory_table",
    "to_png",
    "write",
]

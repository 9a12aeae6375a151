"""The report page: one self-contained file with tables, charts and pictures."""

from featlab.report.central import central_page, central_table
from featlab.report.page import Page, Section, write
from featlab.report.pictures import Picture, saliency_images, save_png

__all__ = ["Page", "Picture", "Section", "central_page", "central_table", "saliency_images", "save_png", "write"]

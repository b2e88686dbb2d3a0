"""Reports as one HTML file each: nothing in them refers to anything outside of the file."""

from __future__ import annotations

from predis_lab.html.page import Column, Facts, Figure, Page, Prose, Section, Table, Tile, Tiles

__all__ = ["Column", "Facts", "Figure", "Page", "Prose", "Section", "Table", "Tile", "Tiles"]

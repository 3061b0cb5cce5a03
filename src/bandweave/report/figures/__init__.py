"""Figures for papers: vector PDF and PNG, one stretch and one scale for all panels of a figure.

Everything here needs the extra `plots` (matplotlib) and is imported late.
"""

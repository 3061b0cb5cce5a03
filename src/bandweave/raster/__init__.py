"""Raster files in and out: grids, windows, masks, tiled writing."""

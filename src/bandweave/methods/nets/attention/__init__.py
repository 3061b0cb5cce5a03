"""Attention of all pixels of a tile to all: one layer, and the ways to compute it."""

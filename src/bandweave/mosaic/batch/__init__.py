"""Fuse many products: what is to be done, doing it, and what became of it."""

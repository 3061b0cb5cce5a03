"""Fuse a scene of any size: plan, run, blend, write."""

"""Ways to fuse one pair."""

"""Many independent tasks: what was done already."""

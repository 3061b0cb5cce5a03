"""A town that never was: scenes with known truth, for demos, tests and training."""

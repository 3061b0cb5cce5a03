"""Methods that minimise an objective over the whole scene, one paper each."""

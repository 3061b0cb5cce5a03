"""Component substitution: replace an intensity by the PAN."""

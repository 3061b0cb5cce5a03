"""Networks, their weight files, and the compatibility with published ones."""

"""A page on this machine that shows large rasters: tiles on demand, swipe, spectra at a click."""

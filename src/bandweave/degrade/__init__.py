"""What a sensor does to a scene: MTF, sampling, spectral response, noise."""

"""Make weights: data, loop, runs that go on after any interruption, presets."""

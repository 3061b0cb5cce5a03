"""Deliveries as the vendors make them: which files belong together, and what their metadata say."""

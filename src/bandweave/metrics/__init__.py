"""The field's quality indexes."""

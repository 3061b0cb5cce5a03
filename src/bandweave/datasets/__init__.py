"""The field's file formats and sets, and the synthetic scene."""

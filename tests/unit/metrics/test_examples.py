"""The examples in the docstrings of the metrics."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import bandweave.metrics as package

MODULES = [module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(import_module(name)).failed == 0


def test_there_are_examples():
    attempted = sum(len(doctest.DocTestFinder().find(import_module(name))) for name in MODULES)
    assert attempted > 20

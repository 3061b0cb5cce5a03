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
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(found) >= 15

"""DiCNN against the tester."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.methods.nets.dicnn import DiCNN, DiCnnConfig
from unit.methods.nets.tester import NetworkTester


class TestDicnn(NetworkTester):
    network = "dicnn"
    settings: ClassVar = {"width": 6}
    ratios = (4, 2, 3)

    @pytest.mark.parametrize(("bands", "count"), [(8, 46_792), (4, 42_180)])
    def test_published_parameter_count(self, bands, count):
        assert sum(p.numel() for p in DiCNN(DiCnnConfig(bands=bands)).parameters()) == count

    def test_without_its_last_layer_it_returns_what_it_starts_from(self):
        model = self.build()
        images = self.inputs(model)
        with torch.no_grad():
            for parameter in model.layers[-1].parameters():
                parameter.zero_()
            assert torch.equal(model(*images), images[2])

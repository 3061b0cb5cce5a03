"""PNN against the tester, and what its convolutions see at the border."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.methods.nets.pnn import PNN, PnnConfig
from unit.methods.nets.tester import NetworkTester


class TestPnn(NetworkTester):
    network = "pnn"
    settings: ClassVar = {"width": 6, "narrow_width": 5}
    ratios = (4, 2, 3)

    @pytest.mark.parametrize(("bands", "count"), [(8, 104_360), (4, 80_420)])
    def test_published_parameter_count(self, bands, count):
        assert sum(p.numel() for p in PNN(PnnConfig(bands=bands)).parameters()) == count

    def test_a_constant_image_stays_constant_up_to_the_border(self):
        """Zero padding would darken the border; the border's own continuation does not."""
        model = self.build()
        spatial, spectral, start = (torch.full_like(x, 0.4) for x in self.inputs(model))
        with torch.no_grad():
            fused = model(spatial, spectral, start)
        torch.testing.assert_close(fused, fused[..., :1, :1].expand_as(fused))

"""BDPN against the tester, and its two levels."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.methods.nets.bdpn import BDPN, BdpnConfig
from unit.methods.nets.tester import NetworkTester


class TestBdpn(NetworkTester):
    network = "bdpn"
    settings: ClassVar = {"width": 6, "blocks": 2}

    @pytest.mark.parametrize(("bands", "count"), [(8, 1_487_069), (4, 1_481_273)])
    def test_published_parameter_count(self, bands, count):
        """The published program also holds one activation that it never uses."""
        model = BDPN(BdpnConfig(bands=bands))
        assert model.unused_as_published == 1
        assert sum(p.numel() for p in model.parameters()) == count - 1

    def test_each_level_of_the_pyramid_has_its_size(self):
        model = self.build()
        spatial, spectral = self.inputs(model)
        fused, half = model.pyramid(spatial, spectral)
        assert torch.equal(fused, model(spatial, spectral))
        assert half.shape == (2, 4, spatial.shape[2] // 2, spatial.shape[3] // 2)

    def test_a_loss_on_the_half_level_leaves_the_last_step_alone(self):
        model = self.build()
        model.pyramid(*self.inputs(model))[1].sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        assert all((g is None) == name.startswith("up_to_full") for name, g in gradients.items())

    def test_other_ratios_are_refused(self):
        with pytest.raises(ValueError, match="its ratio is 4, got 2"):
            BdpnConfig(bands=4, ratio=2)

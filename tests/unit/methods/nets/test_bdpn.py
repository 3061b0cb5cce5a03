"""BDPN against the tester, and its two levels."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch

from bandweave.methods.nets.bdpn import BDPN, BdpnConfig, half_weight_at
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

    @pytest.mark.parametrize("half_weight", [0.0, 0.25, 1.0])
    def test_the_loss_of_constant_errors(self, half_weight):
        """All layers off: both sizes are flat, so that the loss is a closed form."""
        model = self.build().double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            model.up_to_half[0].bias.fill_(0.7)
            model.up_to_full[0].bias.fill_(0.4)
        spatial, spectral = (image.double() for image in self.inputs(model))
        gt = torch.zeros(2, 4, *spatial.shape[2:], dtype=torch.float64)
        gt[..., 1::2, :] = 0.1  # which the half size never sees
        loss = model.loss(spatial, spectral, None, gt, half_weight)
        half = math.sqrt(0.7**2 + 1e-6)
        full = (math.sqrt(0.4**2 + 1e-6) + math.sqrt(0.3**2 + 1e-6)) / 2
        assert loss.item() == pytest.approx(
            half_weight * half + (1 - half_weight) * full, rel=1e-12
        )

    def test_the_weight_of_the_half_size_falls_in_twenty_steps(self):
        weights = [half_weight_at(epoch) for epoch in range(1, 131)]
        assert weights[:4] == [1.0] * 4
        assert weights[4] == pytest.approx(0.95)
        assert weights[98] == pytest.approx(0.05)
        assert weights[99:] == [0.0] * 31

    def test_other_ratios_are_refused(self):
        with pytest.raises(ValueError, match="its ratio is 4, got 2"):
            BdpnConfig(bands=4, ratio=2)

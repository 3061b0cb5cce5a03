"""MUCNN against the tester, its scales and its loss."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.methods.nets.mucnn import MUCNN, MucnnConfig, Pyramid
from unit.methods.nets.tester import NetworkTester


class TestMucnn(NetworkTester):
    network = "mucnn"
    settings: ClassVar = {"half_width": 6, "full_width": 5}
    # Only the loss sees what these make.
    without_gradient = frozenset(
        f"head_{scale}.{kind}" for scale in ("half", "quarter") for kind in ("weight", "bias")
    )

    @pytest.mark.parametrize(("bands", "count"), [(8, 2_320_460), (4, 1_362_832)])
    def test_published_parameter_count(self, bands, count):
        assert sum(p.numel() for p in MUCNN(MucnnConfig(bands=bands)).parameters()) == count

    def test_each_scale_has_its_size(self):
        model = self.build()
        full, half, quarter = model.pyramid(*self.inputs(model))
        assert full.shape == (2, 4, 20, 12)
        assert half.shape == (2, 4, 10, 6)
        assert quarter.shape == (2, 4, 5, 3)

    def test_the_loss_weighs_each_scale_against_its_own_pixels(self, monkeypatch):
        """Errors of 0.1, 0.2 and 0.3 against every, every second and every fourth pixel."""
        model = self.build()
        spatial, spectral = self.inputs(model)
        gt = torch.rand(2, 4, 20, 12)
        rows, cols = torch.arange(20), torch.arange(12)
        made = Pyramid(
            full=gt + 0.1,
            half=gt[..., rows % 2 == 0, :][..., cols % 2 == 0] - 0.2,
            quarter=gt[..., rows % 4 == 0, :][..., cols % 4 == 0] + 0.3,
        )
        monkeypatch.setattr(model, "pyramid", lambda *_: made)
        loss = model.loss(spatial, spectral, None, gt)
        assert loss.item() == pytest.approx(0.5 * 0.1 + 0.3 * 0.2 + 0.2 * 0.3, abs=1e-6)

    def test_the_loss_reaches_every_parameter(self):
        model = self.build()
        model.loss(*self.inputs(model), None, torch.rand(2, 4, 20, 12)).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad.abs().max() > 0, name

    def test_weights_start_with_unit_gain(self):
        """Truncated, so the variance times fan-in is one; biases are zero."""
        weight = MUCNN(MucnnConfig(bands=8)).encode_quarter.weight
        assert weight.var().item() * 153 * 9 == pytest.approx(1, rel=0.02)

    def test_other_ratios_are_refused(self):
        with pytest.raises(ValueError, match="ratio of a MUCNN is 4, got 2"):
            MucnnConfig(bands=4, ratio=2)

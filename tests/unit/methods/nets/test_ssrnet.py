"""SSRNet against the tester, both ways to take in the spatial image, and its loss."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.methods.nets.blocks import enlarge_bilinear
from bandweave.methods.nets.ssrnet import SSRNet, SsrnetConfig, Stages
from unit.methods.nets.tester import NetworkTester


class TestSsrnet(NetworkTester):
    network = "ssrnet"
    spatial_bands = 3
    ratios = (4, 2, 3)


class TestSsrnetThatOverwrites(TestSsrnet):
    settings: ClassVar = {"joining": "overwrite"}


class TestParameterCount:
    @pytest.mark.parametrize(("joining", "count"), [("overwrite", 26_041), ("stack", 26_878)])
    def test_published(self, joining, count):
        model = SSRNet(SsrnetConfig(bands=31, joining=joining))
        used = sum(p.numel() for p in model.parameters())
        assert used + model.unused_as_published == count


class TestOverwriting:
    @pytest.mark.parametrize(
        ("bands", "spatial_bands", "overwritten"),
        [(31, 3, [0, 15, 30]), (31, 5, [0, 7, 15, 23, 30]), (4, 4, [0, 1, 2, 3]), (8, 2, [0, 7])],
    )
    def test_bands(self, bands, spatial_bands, overwritten):
        config = SsrnetConfig(bands=bands, spatial_bands=spatial_bands, joining="overwrite")
        assert config.overwritten == overwritten

    def test_the_first_convolution_sees_the_spatial_bands_in_their_places(self):
        model = SSRNet(SsrnetConfig(bands=5, joining="overwrite"))
        seen = []
        model.fusion.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        spatial, spectral = torch.rand(2, 3, 8, 12), torch.rand(2, 5, 2, 3)
        model(spatial, spectral)
        assert torch.equal(seen[0][:, ::2], spatial)
        assert torch.equal(seen[0][:, 1::2], enlarge_bilinear(spectral, 4)[:, 1::2])

    @pytest.mark.parametrize("spatial_bands", [1, 9])
    def test_impossible_counts_are_refused(self, spatial_bands):
        with pytest.raises(ValueError, match=f"two spatial bands or more.*got {spatial_bands}"):
            SsrnetConfig(bands=8, spatial_bands=spatial_bands, joining="overwrite")


class TestLoss:
    """Errors that are ramps: squares and differences in closed form."""

    @pytest.mark.parametrize(
        ("fused", "spatial", "expected"),
        [
            (lambda b, _r, _c: 0 * b + 0.1, lambda b, _r, _c: 0 * b + 7.0, 0.01),
            # Bands 0 to 2: the mean of their squares is 5/3, neighbours differ by one.
            (lambda b, _r, _c: 0.1 * b, lambda b, _r, _c: 0 * b, 0.01 * (5 / 3 + 1)),
            (lambda b, _r, _c: 0 * b, lambda b, r, c: 0.2 * r - 0.3 * c + b, (0.04 + 0.09) / 2),
        ],
    )
    def test_ramps(self, monkeypatch, fused, spatial, expected):
        model = SSRNet(SsrnetConfig(bands=3, spatial_bands=1))
        b, r, c = torch.meshgrid(
            *(torch.arange(n, dtype=torch.float64) for n in (3, 8, 12)), indexing="ij"
        )
        gt = torch.rand(1, 3, 8, 12, dtype=torch.float64)
        made = Stages(spatial=gt + spatial(b, r, c), fused=gt + fused(b, r, c))
        monkeypatch.setattr(model, "stages", lambda *_: made)
        loss = model.loss(torch.rand(1, 1, 8, 12), torch.rand(1, 3, 2, 3), None, gt)
        assert loss.item() == pytest.approx(expected, abs=1e-12)

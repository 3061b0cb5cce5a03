"""Fusformer against the tester, its attention written out, and its clamp."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from bandweave.methods.nets.fusformer import Fusformer, FusformerConfig, SelfAttention
from unit.methods.nets.tester import NetworkTester


class TestFusformer(NetworkTester):
    network = "fusformer"
    settings: ClassVar = {"width": 12, "heads": 3, "layers": 1}
    spatial_bands = 3
    ratios = (4, 2, 3)

    def test_published_parameter_count(self):
        """All but 111,247 are tables of positions that the released layers never read."""
        model = Fusformer(FusformerConfig(bands=31))
        used = sum(p.numel() for p in model.parameters())
        assert used == 111_247
        assert used + model.unused_as_published == 504_463

    def test_the_clamp_can_be_left_to_the_user(self):
        free = self.build().eval()
        clamped = Fusformer(FusformerConfig(bands=4, **self.settings)).eval()
        open_ended = Fusformer(FusformerConfig(bands=4, **self.settings, clamp=False)).eval()
        open_ended.load_state_dict(free.state_dict())
        clamped.load_state_dict(free.state_dict())
        with torch.no_grad():
            open_ended.head[-1].bias += 0.5
            clamped.head[-1].bias += 0.5
            fused = open_ended(*(images := self.inputs(free)))
            assert fused.max() > 1
            assert torch.equal(clamped(*images), fused.clamp(0, 1))

    def test_pixels_far_apart_see_each_other(self):
        model = self.build().double().eval()
        spatial, spectral = (image.double() for image in self.inputs(model, (24, 32), batch=1))
        changed = spatial.clone()
        changed[..., -1, -1] = 1 - changed[..., -1, -1]
        with torch.no_grad():
            difference = model(changed, spectral) - model(spatial, spectral)
        assert difference[..., 0, 0].abs().max() > 0

    def test_heads_have_to_divide_the_width(self):
        with pytest.raises(ValueError, match="5 heads do not divide the width 48"):
            FusformerConfig(bands=31, heads=5)


class TestSelfAttention:
    def test_equals_the_explicit_softmax(self):
        torch.manual_seed(3)
        attention = SelfAttention(12, 3).double()
        x = torch.randn(2, 7, 12, dtype=torch.float64)
        with torch.no_grad():
            actual = attention(x).numpy()
        expected = np.stack([_attention(attention, one.numpy()) for one in x])
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-14)


def _attention(attention: SelfAttention, x: np.ndarray) -> np.ndarray:
    """Go through heads one by one; queries, keys and values lie one after the other."""
    width, head_width = 12, 4
    rows = attention.query_key_value.weight.detach().numpy()
    heads = []
    for head in range(3):
        first = head * head_width
        q, k, v = (
            x @ rows[part * width + first : part * width + first + head_width].T
            for part in range(3)
        )
        scores = np.exp(q @ k.T / math.sqrt(head_width))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ v)
    output = attention.output
    return np.hstack(heads) @ output.weight.detach().numpy().T + output.bias.detach().numpy()

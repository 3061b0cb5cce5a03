"""PMACNet against the tester, its gate, and the interpolation of the released program."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from bandweave.errors import ShapeError
from bandweave.methods.nets.pmacnet import PMACNet, PmacnetConfig
from unit.methods.nets.tester import NetworkTester


class TestPmacnet(NetworkTester):
    network = "pmacnet"
    settings: ClassVar = {"width": 5, "blocks": 1}
    ratios = (4, 2, 3)

    @pytest.mark.parametrize(
        ("bands", "width", "count"),
        [(8, 32, 240_848), (4, 32, 236_232), (8, 64, 940_432), (4, 64, 931_208)],
    )
    def test_published_parameter_count(self, bands, width, count):
        model = PMACNet(PmacnetConfig(bands=bands, width=width))
        assert sum(p.numel() for p in model.parameters()) == count

    def test_two_blocks_reach_ten_pixels(self):
        assert PMACNet(PmacnetConfig(bands=4)).receptive_radius == 10

    def test_the_gate_shares_one_whole_among_the_bands(self):
        """Where the branch of the spectral image is zero, every band takes 1/C of the detail."""
        model = self.build()
        inputs = self.inputs(model)
        with torch.no_grad():
            for parameter in model.spectral_branch[-1].parameters():
                parameter.zero_()
            detail = model.detail_branch(inputs[0] - inputs[2])
            torch.testing.assert_close(model(*inputs), inputs[2] + detail / 4)

    def test_the_smallest_image_that_can_be_reflected(self):
        model = PMACNet(PmacnetConfig(bands=2, ratio=1, width=3, blocks=1))
        images = [torch.rand(1, bands, 5, 7) for bands in (1, 2, 2)]
        assert model(*images).shape == (1, 2, 5, 7)
        with pytest.raises(ShapeError, match="more rows and columns than that, got 4 x 7"):
            model(*(image[..., :4, :] for image in images))

    def test_more_than_a_pan_is_refused(self):
        with pytest.raises(ValueError, match="one spatial band, got 3"):
            PmacnetConfig(bands=31, spatial_bands=3)


class TestReleasedInterpolation:
    def test_the_outermost_centres_lie_on_each_other(self):
        """What stretches the image; with branches of zero the interpolation is the result."""
        model = PMACNet(PmacnetConfig(bands=2, width=3, blocks=1, interpolation="release"))
        spatial, spectral = torch.rand(1, 1, 20, 28), torch.rand(1, 2, 5, 7)
        with torch.no_grad():
            for parameter in model.detail_branch.parameters():
                parameter.zero_()
            fused = model(spatial, spectral)
        corners = (slice(None), slice(None), [0, 0, -1, -1], [0, -1, 0, -1])
        torch.testing.assert_close(fused[corners], spectral[corners])

    def test_it_belongs_to_the_tile(self):
        model = PMACNet(PmacnetConfig(bands=2, interpolation="release"))
        assert model.receptive_radius is None
        assert model.base is None

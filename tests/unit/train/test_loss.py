"""What is minimised and what is kept, on numbers small enough to work out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bandweave.train.loss import Average, Objective, TensorBatch
from training import small_config

BASE = {"config": {"bands": 4, "width": 4, "head_width": 2, "base": "exp"}}


class Given(nn.Module):
    """A network whose result is known."""

    def __init__(self, result: Tensor) -> None:
        super().__init__()
        self.result = result

    def forward(self, *images: Tensor) -> Tensor:
        del images
        return self.result


def batch(start: Tensor, gt: Tensor) -> TensorBatch:
    return TensorBatch(gt[:, :1], gt[..., ::4, ::4], start, gt, torch.zeros(2, dtype=torch.long))


def test_relative_l1_weighs_quiet_tiles_like_busy_ones(tmp_path: Path) -> None:
    gt = torch.full((2, 4, 8, 8), 0.5)
    apart = torch.tensor([0.1, 0.001])[:, None, None, None]
    objective = Objective(
        Given(gt - 0.5 * apart),  # type: ignore[arg-type]
        small_config(tmp_path, network=BASE, loss="relative_l1"),
        {},
    )
    # (0.05 / 0.1003 + 0.0005 / 0.0013) / 2
    assert objective(batch(gt + apart, gt)).item() == pytest.approx(0.4415599, rel=1e-5)


@pytest.mark.parametrize(("loss", "inner"), [("l1", 0.25), ("mse", 0.0625)])
def test_a_border_is_left_out(tmp_path: Path, loss: str, inner: float) -> None:
    gt = torch.full((2, 4, 8, 8), 0.5)
    result = gt + 7
    result[..., 2:6, 2:6] = 0.75
    objective = Objective(
        Given(result),  # type: ignore[arg-type]
        small_config(tmp_path, loss=loss, border=2),
        {},
    )
    assert objective(batch(gt, gt)).item() == pytest.approx(inner)


def test_the_average_forgets_its_start_as_fast_as_it_is_left() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(5.0)
    average = Average(network, 0.2)
    seen = []
    for step, weight in enumerate((1.0, 2.0, 4.0), start=1):
        network.weight.data.fill_(weight)
        average.update(network, step)
        seen.append(average.state()["weight"].item())
    # Decays of 2/11 and from then on 0.2, as 3/12 and 4/13 are more.
    assert seen == pytest.approx([19 / 11, 0.2 * 19 / 11 + 1.6, 0.2 * (0.2 * 19 / 11 + 1.6) + 3.2])
    again = Average(nn.Linear(1, 1, bias=False), 0.2)
    again.restore(average.state())
    assert again.state()["weight"].item() == seen[-1]

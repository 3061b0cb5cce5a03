"""Published settings fit the networks they name."""

from __future__ import annotations

import pytest
import torch

from bandweave.methods.nets.table import NETWORKS
from bandweave.train.loss import Objective, TensorBatch
from bandweave.train.recipes.presets import find_preset
from bandweave.train.recipes.published import PUBLISHED_RECIPES


@pytest.mark.parametrize("name", PUBLISHED_RECIPES)
def test_a_recipe_names_a_network_and_the_bands_of_its_data(name):
    recipe = PUBLISHED_RECIPES[name]
    architecture, _, data = name.partition("-")
    assert recipe.architecture == architecture
    config = NETWORKS[architecture].configure(recipe.config, source=name)
    assert config.bands == {"wv3": 8, "cave": 31}[data]
    assert recipe.citation.split(",")[0] == NETWORKS[architecture].citation.split(",")[0]


@pytest.mark.parametrize("name", PUBLISHED_RECIPES)
def test_the_border_left_out_of_the_loss_is_within_the_patch(name):
    recipe = PUBLISHED_RECIPES[name]
    assert 0 <= 2 * recipe.border < recipe.patch


@pytest.mark.parametrize("name", PUBLISHED_RECIPES)
def test_the_length_is_given_once(name):
    recipe = PUBLISHED_RECIPES[name]
    assert (recipe.epochs is None) != (recipe.steps is None)
    assert recipe.schedule is None or recipe.schedule.epochs < recipe.epochs


@pytest.mark.parametrize("name", PUBLISHED_RECIPES)
def test_it_is_a_preset_of_the_same_name(name):
    recipe, preset = PUBLISHED_RECIPES[name], find_preset(name)
    assert preset.loss == (recipe.loss if recipe.loss in ("l1", "mse") else "own")
    assert (preset.batch, preset.tile) == (recipe.batch, recipe.patch)
    assert preset.optimiser.learning_rate == recipe.learning_rate


@pytest.mark.parametrize("name", ["bdpn-wv3", "mucnn-wv3", "ssrnet-cave"])
def test_a_loss_over_several_results_is_the_networks_own(name):
    torch.manual_seed(1)
    config = find_preset(name)
    architecture = config.network.architecture
    model = NETWORKS[architecture].build({"bands": 3, "spatial_bands": 2}, source="The test")
    images = torch.rand(1, 2, 8, 12), torch.rand(1, 3, 2, 3)
    gt = torch.rand(1, 3, 8, 12)
    index = torch.zeros(1, dtype=torch.long)
    batch = TensorBatch(*images, start=None, gt=gt, operator=index)
    loss = Objective(model, config, {})(batch)
    assert loss.item() == pytest.approx(model.loss(*images, None, gt).item())


def test_the_weights_of_bdpns_sizes_follow_the_epoch():
    torch.manual_seed(1)
    model = NETWORKS["bdpn"].build({"bands": 3}, source="The test")
    images = torch.rand(1, 1, 8, 12), torch.rand(1, 3, 2, 3)
    gt = torch.rand(1, 3, 8, 12)
    index = torch.zeros(1, dtype=torch.long)
    objective = Objective(model, find_preset("bdpn-wv3"), {})
    for epoch, weight in ((1, 1.0), (50, 0.5), (1000, 0.0)):
        batch = TensorBatch(*images, start=None, gt=gt, operator=index, epoch=epoch)
        expected = model.loss(*images, None, gt, half_weight=weight)
        assert objective(batch).item() == pytest.approx(expected.item())


def test_the_learning_rate_of_pnn_follows_its_rule():
    assert PUBLISHED_RECIPES["pnn-wv3"].learning_rate == pytest.approx(1e-4 * 17**2 * 8)


def test_the_border_of_pnn_is_what_its_continuation_reaches():
    """Inside the border the continued image does not matter."""
    torch.manual_seed(1)
    model = NETWORKS["pnn"].build(PUBLISHED_RECIPES["pnn-wv3"].config, source="The test")
    images = torch.rand(1, 1, 24, 20), torch.rand(1, 8, 6, 5), torch.rand(1, 8, 24, 20)
    border = PUBLISHED_RECIPES["pnn-wv3"].border
    with torch.no_grad():
        inner = model(*images)[..., border:-border, border:-border]
        unpadded = model.layers(torch.cat((images[2], images[0]), dim=1))
    torch.testing.assert_close(inner, unpadded, rtol=0, atol=1e-6)

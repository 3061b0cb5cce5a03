"""Published settings fit the networks they name."""

from __future__ import annotations

import pytest
import torch

from bandweave.methods.nets.table import NETWORKS
from bandweave.train.loss import LOSSES, Objective, TensorBatch
from bandweave.train.published_recipes import PUBLISHED_RECIPES


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
def test_the_trainer_knows_the_loss(name):
    assert PUBLISHED_RECIPES[name].loss in LOSSES


@pytest.mark.parametrize("name", ["bdpn", "mucnn", "ssrnet"])
def test_a_loss_over_several_results_is_the_networks_own(name):
    torch.manual_seed(1)
    model = NETWORKS[name].build({"bands": 3, "spatial_bands": 2}, source="The test")
    images = torch.rand(1, 2, 8, 12), torch.rand(1, 3, 2, 3)
    gt = torch.rand(1, 3, 8, 12)
    batch = TensorBatch(*images, start=None, gt=gt, operator=torch.zeros(1, dtype=torch.long))
    loss = Objective(model, name, {})(batch)
    assert loss.item() == pytest.approx(model.loss(*images, None, gt).item())


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

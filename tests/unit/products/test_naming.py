"""PAN and MS told apart by their names, and products brought together."""

from __future__ import annotations

from pathlib import Path

import pytest

import deliveries
from bandweave.errors import ConfigError, ProductError
from bandweave.products.plain import NamingRule
from bandweave.products.survey import find_bundle, survey


@pytest.mark.parametrize(
    ("names", "product"),
    [
        (("town_pan.tif", "town_ms.tif"), "town"),
        (("town-PAN.TIF", "town-MUL.tif"), "town"),
        (("a.b.pan.tif", "a.b.mss.tiff"), "a.b"),
        (
            ("PAN/PAN_AOI_4_Shanghai_img1.tif", "MUL/MUL_AOI_4_Shanghai_img1.tif"),
            "AOI_4_Shanghai_img1",
        ),
        (("PAN/SN4_AOI_6_PAN_12.tif", "MS/SN4_AOI_6_MS_12.tif"), "SN4_AOI_6_12"),
        (("x/PAN/img7.tif", "x/MUL/img7.tif"), "img7"),
    ],
)
def test_usual_names_make_a_pair(tmp_path: Path, names, product) -> None:
    deliveries.plain(tmp_path, names)
    bundle = find_bundle(tmp_path)
    assert bundle.name == product
    assert bundle.spatial.files == (tmp_path / names[0],)
    assert bundle.spectral.files == (tmp_path / names[1],)
    assert bundle.sensor is None


def test_pan_and_ms_alone_are_named_by_their_folder(tmp_path: Path) -> None:
    deliveries.plain(tmp_path / "harbour", ("pan.tif", "ms.tif"))
    assert find_bundle(tmp_path).name == "harbour"


@pytest.mark.parametrize("name", ["span.tif", "spanms.tif", "town_pan.txt", ".town_pan.tif"])
def test_other_names_are_no_image(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("nothing")
    found = survey(tmp_path)
    assert not found.bundles
    assert not found.problems


def test_a_rule_of_ones_own_replaces_all_others(tmp_path: Path) -> None:
    deliveries.plain(tmp_path, ("sharp_1.tif", "colour_1.tif"))
    deliveries.plain(tmp_path, ("town_pan.tif", "town_ms.tif"))
    found = survey(tmp_path, rule=NamingRule("sharp_*.tif", "colour_*.tif"))
    assert [bundle.name for bundle in found.bundles] == ["1"]
    deliveries.plain(tmp_path, ("P/1.tif", "M/1.tif"))
    found = survey(tmp_path, rule=NamingRule("P/*.tif", "M/*.tif"))
    assert [bundle.spectral.files for bundle in found.bundles] == [(tmp_path / "M/1.tif",)]


@pytest.mark.parametrize(
    "patterns",
    [("pan.tif", "*_ms.tif"), ("*_*.tif", "*_ms.tif"), ("a/b/*.tif", "*.tif"), ("*", "*")],
)
def test_rules_that_cannot_work_are_refused(patterns) -> None:
    with pytest.raises(ConfigError):
        NamingRule(*patterns)


def test_an_image_without_partner_is_a_problem(tmp_path: Path) -> None:
    deliveries.plain(tmp_path)
    (tmp_path / "town_ms.tif").rename(tmp_path / "village_ms.tif")
    sentences = [problem.sentence for problem in survey(tmp_path).problems]
    assert len(sentences) == 2
    assert "there is no PAN image of village" in sentences[1]
    with pytest.raises(ProductError, match="there is no MS image of town"):
        find_bundle(tmp_path)


def test_two_candidates_are_not_chosen_between(tmp_path: Path) -> None:
    deliveries.plain(tmp_path)
    deliveries.plain(tmp_path, ("other_pan.tif", "town_mul.tif"))
    found = survey(tmp_path)
    assert not found.bundles
    assert any("more than one image" in problem.sentence for problem in found.problems)


def test_times_more_than_a_second_apart_are_not_one_product(tmp_path: Path) -> None:
    deliveries.maxar(tmp_path, seconds=(10, 14))
    found = survey(tmp_path)
    assert not found.bundles
    assert all("4 s apart" in problem.sentence for problem in found.problems)


def test_equal_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for tile in ("033133031133", "033133031132"):
        deliveries.maxar_ard(tmp_path / "33" / tile)
    deliveries.plain(tmp_path)
    names = {bundle.name for bundle in survey(tmp_path).bundles}
    assert names == {
        "33_033133031133_10300100A1B2C300", "33_033133031132_10300100A1B2C300", "town",
    }  # fmt: skip


def test_tiles_in_a_folder_called_pan_are_no_second_product(tmp_path: Path) -> None:
    pan, ms = deliveries.maxar(tmp_path)
    pan.parent.rename(tmp_path / "PAN")
    ms.parent.rename(tmp_path / "MUL")
    found = survey(tmp_path)
    assert len(found.bundles) == 1
    assert not found.problems


def test_folders_can_be_left_out(tmp_path: Path) -> None:
    deliveries.plain(tmp_path / "in")
    deliveries.plain(tmp_path / "out", ("done_pan.tif", "done_ms.tif"))
    deliveries.plain(tmp_path / ".hidden", ("old_pan.tif", "old_ms.tif"))
    found = survey(tmp_path, skip=[tmp_path / "out"])
    assert [bundle.name for bundle in found.bundles] == ["town"]
    assert not survey(tmp_path, depth=0).bundles

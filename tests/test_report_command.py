"""`bandweave report` as a user types it, and its page in a real browser."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from bandweave.bench.runner import run_suite
from bandweave.bench.suite import Suite
from bandweave.report.records import RecordFile
from browser import NARROW, WIDE, overflow
from commands import Run, refused

pytest.importorskip("matplotlib", reason="needs the extra plots")

SCENE = {"kind": "synthetic", "size": 64, "is_varied": False}
SUITE = {
    "name": "small",
    "about": "Small <b>images</b> & more.",
    "methods": [
        {"method": "exp"},
        {"method": "gsa", "label": "GSA <script>alert(1)</script>"},
        {"method": "bt_h"},
        {"method": "local_regression"},
        {"method": "u2net", "weights": "absent.safetensors"},
    ],
    "data": [
        {
            "id": "rr",
            "title": "With reference",
            "protocol": "dlpan-rr-uncut",
            "metrics": ["psnr", "sam"],
            "sources": [{**SCENE, "seeds": [0, 6]}],
            "kept": 1,
        },
        {
            "id": "fr",
            "title": "Without",
            "protocol": "dlpan-fr",
            "metrics": ["d_lambda_k", "d_s", "hqnr"],
            "sources": [{**SCENE, "seeds": [0, 1]}],
        },
    ],
}


@pytest.fixture(scope="module")
def benchmark_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished benchmark, for reading only."""
    folder = tmp_path_factory.mktemp("run") / "small"
    suite = Suite.model_validate(SUITE)
    run_suite(suite, folder, root=folder.parent, weights=folder.parent)
    return folder


@pytest.fixture(scope="module")
def page(benchmark_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its report."""
    from bandweave.bench.report import make_report

    log = tmp_path_factory.mktemp("training")
    (log / "config.json").write_text('{"name": "pnn-own"}')
    lines = [{"step": k, "loss": 1 / k, "learning_rate": 1e-3} for k in range(1, 5)]
    lines.append({"step": 4, "validation": {"scene a": {"psnr": 30.0}, "scene b": {"psnr": 34.0}}})
    (log / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert make_report(benchmark_run, path, trainings=[log]) == [path]
    return path


def test_every_promised_file_is_there_and_opens(
    run: Run, benchmark_run: Path, tmp_path: Path
) -> None:
    figures, out = tmp_path / "figures", tmp_path / "deep" / "page.html"
    status, printed, err = run("report", benchmark_run, "--out", out, "--figures", figures)
    assert status == 0, err
    files = [Path(line) for line in printed.split("\n") if line]
    assert files[0] == out
    made = {path.relative_to(figures).as_posix() for path in files[1:]}
    assert made == {path.relative_to(figures).as_posix() for path in figures.rglob("*")}
    images = [
        f"rr_{name}" for name in sorted(p.name for p in (benchmark_run / "images/rr").iterdir())
    ]
    expected = {
        f"{name}_{kind}" for name in images for kind in ("natural-colour", "errors", "spectra")
    }
    (without,) = (benchmark_run / "images/fr").iterdir()
    expected |= {f"fr_{without.name}_{kind}" for kind in ("natural-colour", "spectra")}
    expected |= {"rr_seconds", "fr_seconds"}
    assert made == {f"{n}.{e}" for n in expected for e in ("pdf", "png")} | {"captions.md"}
    for path in files[1:]:
        if path.suffix == ".pdf":
            content = path.read_bytes()
            assert content.startswith(b"%PDF")
            assert content.rstrip().endswith(b"%%EOF")
        elif path.suffix == ".png":
            with Picture.open(path) as picture:
                picture.load()
                assert picture.info["dpi"][0] == pytest.approx(300, abs=1)
                assert picture.width > 1000
    captions = (figures / "captions.md").read_text()
    assert all(f"## {name}\n" in captions for name in expected)
    assert captions.count("One stretch for all pictures, the 0.5 to 99.5 % quantiles") == 2
    assert "quantiles of the MS" in captions
    assert captions.count("one scale for all maps") == 1


def test_what_is_no_run_is_refused(run: Run, tmp_path: Path) -> None:
    refused(run("report", tmp_path), "suite.json", "no benchmark")
    (tmp_path / "suite.json").write_text(Suite.model_validate(SUITE).model_dump_json())
    refused(run("report", tmp_path), "no records", "bandweave benchmark")
    (tmp_path / "suite.json").write_text('{"name": 3}')
    refused(run("report", tmp_path), "another version")


def test_a_training_run_has_a_page_of_its_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 50, "loss": 0.5}\n{"step": 100, "loss": 0.25}\n')
    status, printed, err = run("report", tmp_path)
    assert status == 0, err
    assert "Learning curves" in Path(printed.strip()).read_text()


def test_the_suite_of_a_run_can_be_run_again(run: Run, benchmark_run: Path, tmp_path: Path) -> None:
    status, printed, _ = run("benchmark", benchmark_run / "suite.json", "--dry-run")
    assert status == 0
    assert printed.splitlines()[0] == "rr\texp\tsynthetic 0"


def test_images_that_are_missing_are_made_and_no_score_changes(
    benchmark_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    shutil.copytree(benchmark_run, folder)
    before = RecordFile(folder / "records.jsonl").latest()
    lost = next((folder / "images/rr").glob("*/bt_h.tif"))
    content = lost.read_bytes()
    lost.unlink()
    other = lost.with_name("exp.tif")
    other.write_bytes(b"damaged")
    suite = Suite.model_validate(SUITE)
    report = run_suite(suite, folder, root=tmp_path, weights=benchmark_run.parent)
    # The two, and the seven tasks of the method that has no weights.
    assert report.computed == 2 + 7
    assert lost.read_bytes() == content
    after = RecordFile(folder / "records.jsonl").latest()
    assert {k: v.without_measurements() for k, v in after.items()} == {
        k: v.without_measurements() for k, v in before.items()
    }
    assert not list(folder.rglob("*.partial"))


def test_the_page_holds_all_it_shows(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    links = re.findall(r"""(?:src|href)=["']([^"']*)["']""", text)
    assert len(links) > 30
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.findall(r"url\(|@import|<link[^>]*stylesheet", text)
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert "<script>alert" not in text
    assert "Small &lt;b&gt;images&lt;/b&gt; &amp; more." in text


def test_the_page_says_where_numbers_come_from(browser, benchmark_run: Path, page: Path) -> None:
    browser.goto(page.as_uri())
    said = browser.inner_text("#provenance")
    record = next(iter(RecordFile(benchmark_run / "records.jsonl").latest().values()))
    for part in (record.versions["numpy"], record.hardware["processor"], record.config_sha256[:16]):
        assert part in said, part
    assert "dlpan-rr-uncut" in said
    commands = browser.inner_text("#reproduce pre")
    assert "bandweave benchmark suite.json --weights WEIGHTS --out runs/small" in commands
    assert "absent.safetensors" in browser.inner_text("#summary .failed")
    assert '"name": "small"' in browser.text_content("#provenance details pre")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_the_page_is_readable_at(browser, page: Path, size: tuple[int, int]) -> None:
    browser.set_viewport_size({"width": size[0], "height": size[1]})
    browser.goto(page.as_uri())
    assert overflow(browser) == []
    for part in browser.query_selector_all("details"):
        part.evaluate("one => one.open = true")
    assert overflow(browser) == []
    sizes = browser.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((one) => [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
            .filter((one) => !["SCRIPT", "STYLE"].includes(one.tagName))
            .map((one) => parseFloat(getComputedStyle(one).fontSize))"""
    )
    assert min(sizes) >= 10
    widths = browser.evaluate(
        "[...document.images].filter((i) => i.src).map((i) => i.complete && i.naturalWidth)"
    )
    assert all(widths)
    assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(27, 27, 31)"


def column(browser, table: str, number: int) -> list[str]:
    return browser.evaluate(
        "([table, n]) => [...document.querySelectorAll(`${table} tbody tr`)]"
        ".map((row) => row.cells[n].textContent)",
        [table, number],
    )


def test_tables_sort_by_pointer_and_keyboard(browser, page: Path) -> None:
    browser.goto(page.as_uri())
    table = "#data-rr > .scroll:nth-of-type(1) table"
    heads = browser.query_selector_all(f"{table} thead th")
    assert "PSNR" in heads[1].inner_text()
    names = column(browser, table, 0)
    assert names[0] == "EXP"
    psnr = 1
    heads[psnr].query_selector("button").click()
    assert heads[psnr].get_attribute("aria-sort") == "descending"
    values = column(browser, table, psnr)
    numbers = [float(value.split()[0]) for value in values[:-1]]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1]
    assert values[-1] == "failed"  # stays last in either order
    heads[psnr].query_selector("button").focus()
    browser.keyboard.press("Enter")
    assert heads[psnr].get_attribute("aria-sort") == "ascending"
    values = column(browser, table, psnr)
    assert [float(value.split()[0]) for value in values[:-1]] == sorted(numbers)
    assert values[-1] == "failed"
    browser.keyboard.press("Shift+Tab")
    browser.keyboard.press("Space")
    assert heads[0].get_attribute("aria-sort") == "ascending"
    assert heads[psnr].get_attribute("aria-sort") == "none"
    assert column(browser, table, 0) == sorted(names, key=str.lower)


def test_tests_and_ranks_stand_beside_the_scores(browser, page: Path) -> None:
    browser.goto(page.as_uri())
    said = browser.inner_text("#data-rr")
    # Six images: the least p is 2 / 2⁶.
    assert "0.031 is the least it can be" in said
    assert "p of the paired Wilcoxon signed-rank test" in said
    assert browser.query_selector_all("#data-rr td.best")
    assert "1 images are too few" in browser.inner_text("#summary")


def swipe_state(browser) -> dict[str, str]:
    return browser.evaluate(
        """() => {
            const one = document.querySelector(".swipe");
            const at = (selector) => one.querySelector(selector);
            return {
                at: getComputedStyle(at(".divider")).left,
                width: getComputedStyle(at(".stage")).width,
                clip: getComputedStyle(at(".front")).clipPath,
                front: at(".front").src, behind: at(".behind").src,
                left: at(".left").value, right: at(".right").value,
            };
        }"""
    )


def test_swipe_between_any_two_pictures(browser, page: Path) -> None:
    browser.goto(page.as_uri())
    state = swipe_state(browser)
    assert state["front"] != state["behind"]
    options = browser.query_selector(".swipe .left").query_selector_all("option")
    names = [one.inner_text() for one in options]
    assert names[:4] == ["reference", "PAN", "MS", "EXP"]
    assert len(names) == 3 + 4

    # By keyboard: the divider moves, and with it what is cut off the front picture.
    slider = browser.query_selector(".swipe input[type=range]")
    slider.focus()
    for _ in range(10):
        browser.keyboard.press("ArrowRight")
    state = swipe_state(browser)
    width = float(state["width"][:-2])
    assert float(state["at"][:-2]) == pytest.approx(0.6 * width, abs=1)
    cut = re.match(r"inset\(0(?:px|%)? (?:calc\()?([^)]*)", state["clip"])
    assert cut is not None
    assert "60%" in state["clip"] or "40%" in state["clip"]
    browser.keyboard.press("End")
    stage = browser.query_selector(".swipe .stage")

    # What is seen: at the right end only the left picture, at the left end only the right one.
    def seen() -> np.ndarray:
        hidden = ".divider, .tag { visibility: hidden !important; }"
        picture = Picture.open(io.BytesIO(stage.screenshot(style=hidden))).convert("RGB")
        return np.asarray(picture.resize((64, 64))).astype(float)

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.abs(one - other).mean())

    whole_left = seen()
    slider.focus()
    browser.keyboard.press("Home")
    whole_right = seen()
    apart = distance(whole_left, whole_right)
    assert apart > 2
    browser.select_option(".swipe .left", state["right"])
    browser.select_option(".swipe .right", state["left"])
    assert distance(seen(), whole_left) < 0.2 * apart  # the page may lie half a pixel elsewhere
    slider.focus()
    browser.keyboard.press("End")
    assert distance(seen(), whole_right) < 0.2 * apart

    # By pointer.
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    browser.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 20)
    browser.mouse.down()
    browser.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 25)
    browser.mouse.up()
    assert int(slider.input_value()) == pytest.approx(25, abs=1)

    # Error maps of the same two, where they have one.
    before = swipe_state(browser)
    browser.select_option(".swipe .left", label="EXP")
    colour = swipe_state(browser)["front"]
    browser.check(".swipe .errors")
    after = swipe_state(browser)
    assert after["front"] != colour
    assert "EXP, error" in browser.inner_text(".swipe .tag-left")
    browser.uncheck(".swipe .errors")
    assert swipe_state(browser)["front"] == colour
    assert before["left"] != after["left"]


def test_everything_is_reached_by_keyboard(browser, page: Path) -> None:
    browser.goto(page.as_uri())
    browser.keyboard.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Skip to the content"
    browser.keyboard.press("Enter")
    assert browser.evaluate("location.hash") == "#main"
    reached = browser.evaluate(
        """() => [...document.querySelectorAll("a[href], button, input, select, summary, .scroll, pre")]
            .filter((one) => one.tabIndex < 0).map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert reached == []
    unnamed = browser.evaluate(
        """() => [...document.querySelectorAll("input, select")]
            .filter((one) => !one.labels.length && !one.ariaLabel).length
            + [...document.images].filter((one) => one.src && !one.alt).length"""
    )
    assert unnamed == 0


def test_on_paper_there_is_nothing_to_press(browser, page: Path) -> None:
    browser.goto(page.as_uri())
    browser.emulate_media(media="print")
    assert not browser.is_visible("nav")
    assert not browser.is_visible(".swipe")
    browser.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate(
        "[...document.querySelectorAll('article details')].every((d) => d.open)"
    )
    assert browser.pdf().startswith(b"%PDF")

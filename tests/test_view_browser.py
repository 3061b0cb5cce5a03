"""The viewer's page in a real browser: swipe, spectra, keys, touch, two widths."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from browser import NARROW, overflow
from scenes import write_tif

pytest.importorskip("uvicorn", reason="needs the extra viewer")
pytestmark = [pytest.mark.multiprocess, pytest.mark.usefixtures("problems")]

PLACE = Affine(0.5, 0, 500000, 0, -0.5, 5000000)
DARK, BRIGHT = 1000, 3000
SIDE = 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Hold a dark PAN, a bright MS, and two results that differ by 100 DN in a corner."""
    folder = tmp_path_factory.mktemp("viewed")
    rng = np.random.default_rng(7)
    pan = np.full((1, SIDE, SIDE), DARK, np.uint16)
    ms = np.full((4, SIDE // 4, SIDE // 4), BRIGHT, np.uint16)
    ms += rng.integers(0, 9, ms.shape, dtype=np.uint16)
    first = np.full((4, SIDE, SIDE), 2000, np.uint16)
    second = first.copy()
    second[:, : SIDE // 4, : SIDE // 4] += 100
    write_tif(folder / "pan.tif", pan, PLACE)
    write_tif(folder / "ms.tif", ms, PLACE * Affine.scale(4))
    write_tif(folder / "one.tif", first, PLACE)
    write_tif(folder / "two.tif", second, PLACE)
    return folder


@pytest.fixture(scope="module")
def started(folder: Path) -> Iterator[Callable[..., str]]:
    """Start `bandweave view` as a user does; return the address that it prints."""
    programs = []

    def start(*arguments: str) -> str:
        command = [sys.executable, "-m", "bandweave", "view", *arguments, "--no-browser"]
        program = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        programs.append(program)
        for line in program.stderr:
            if line.startswith("http://"):
                return line.strip()
        raise AssertionError("the viewer printed no address")

    yield start
    for program in programs:
        program.terminate()
        program.wait(20)
        program.stderr.close()


@pytest.fixture(scope="module")
def pair(started) -> str:
    return started("pan.tif", "ms.tif")


@pytest.fixture(scope="module")
def results(started) -> str:
    return started("pan.tif", "ms.tif", "one.tif", "two.tif", "--error", "two.tif", "one.tif")


def opened(page, address: str):
    page.set_default_timeout(120_000)  # a busy machine is slow, not wrong
    page.goto(address)
    settle(page)
    return page


def settle(page) -> None:
    """Wait until all tiles in view are drawn, with limits that are in force."""
    page.wait_for_selector("#picture[data-state=complete]")
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def colour(page, across: float, down: float) -> list[int]:
    """Return red, green, blue, alpha of the canvas at shares of its width and height."""
    return page.evaluate(
        """([across, down]) => {
            const canvas = document.getElementById("picture");
            const [x, y] = [Math.floor(across * canvas.width), Math.floor(down * canvas.height)];
            // Through a canvas of its own: reading the page's own canvas often draws a warning.
            const probe = new OffscreenCanvas(1, 1).getContext("2d");
            probe.drawImage(canvas, -x, -y);
            return [...probe.getImageData(0, 0, 1, 1).data];
        }""",
        [across, down],
    )


def read_spectrum(page, left: float, top: float) -> str:
    """Click a place, wait for its answer, and return what is written above its spectrum."""
    page.evaluate("() => document.getElementById('spectrum').removeAttribute('aria-busy')")
    page.mouse.click(left, top)
    page.wait_for_selector("#spectrum[aria-busy=false]")
    return page.inner_text("#spectrum p")


def fix_stretch(page, low: int = 0, high: int = 4000) -> None:
    page.select_option("#stretch-mode", "fixed")
    page.fill("#fixed-low", str(low))
    page.fill("#fixed-high", str(high))
    page.keyboard.press("Tab")
    settle(page)


def is_dark(pixel: list[int]) -> bool:
    """Tell the PAN at 1000 of 4000 DN, grey 64, from the MS at about 3000, grey 191."""
    assert pixel[3] == 255
    assert abs(pixel[0] - 64) <= 1 or abs(pixel[0] - 191) <= 1
    return pixel[0] < 128


def test_swipe_by_mouse_and_keys(browser, pair) -> None:
    page = opened(browser, pair)
    fix_stretch(page)
    assert is_dark(colour(page, 0.45, 0.5))
    assert not is_dark(colour(page, 0.55, 0.5))
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 120, steps=4)
    page.mouse.up()
    settle(page)
    assert not is_dark(colour(page, 0.45, 0.5))
    assert is_dark(colour(page, 0.25, 0.5))
    handle = page.locator("#handle")
    assert abs(int(handle.get_attribute("aria-valuenow")) - 30) <= 1
    handle.focus()
    page.keyboard.press("End")
    settle(page)
    assert is_dark(colour(page, 0.8, 0.5))
    page.keyboard.press("Home")
    settle(page)
    assert not is_dark(colour(page, 0.2, 0.5))
    page.locator("#picture").focus()
    for _ in range(30):
        page.keyboard.press("]")
    settle(page)
    assert handle.get_attribute("aria-valuenow") == "60"
    page.keyboard.press("x")
    settle(page)
    assert not is_dark(colour(page, 0.5, 0.5))
    assert page.inner_text("#left-name") == "ms.tif"


def test_spectra_appear_on_click_and_are_the_files_values(browser, pair, folder) -> None:
    page = opened(browser, pair)
    box = page.locator("#picture").bounding_box()
    where = read_spectrum(page, box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6)
    easting, northing = re.search(r"EPSG:32633 ([\d.]+), ([\d.]+)", where).groups()
    cells = page.locator("#spectrum tbody td").all_inner_texts()
    for k, name in enumerate(("pan.tif", "ms.tif")):
        with rasterio.open(folder / name) as dataset:
            (values,) = dataset.sample([(float(easting), float(northing))])
        shown = [cell for cell in cells[k::2] if cell]
        assert shown == [str(value) for value in values]
    assert page.locator("#spectrum polyline").count() == 1
    assert page.locator("#spectrum line[stroke-dasharray]").count() == 1
    assert re.search(r"45\.\d+° N, 1[45]\.\d+° E", where)
    read_spectrum(page, box["x"] + 3, box["y"] + 3 + box["height"] / 2)
    assert "No data" in page.inner_text("#spectrum")


def test_keys_move_zoom_and_read(browser, pair) -> None:
    page = opened(browser, pair)
    page.locator("#picture").focus()
    scales = [page.inner_text("#scale-text")]
    for _ in range(6):
        page.keyboard.press("+")
    settle(page)
    scales.append(page.inner_text("#scale-text"))
    assert [float(text.split()[0]) for text in scales] == sorted(
        [float(text.split()[0]) for text in scales], reverse=True
    )
    page.keyboard.press("Enter")
    page.wait_for_selector("#spectrum svg")
    assert "column 300, row 300" in page.inner_text("#spectrum p")
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => !document.getElementById('spectrum').innerText.includes('column 300, row 300')"
    )
    col, row = map(
        int, re.search(r"column (\d+), row (\d+)", page.inner_text("#spectrum p")).groups()
    )
    assert col > 300
    assert row > 300
    page.keyboard.press("1")
    settle(page)
    page.keyboard.press("0")
    settle(page)
    assert page.inner_text("#scale-text") == scales[0]


def test_everything_is_reached_by_the_tab_key(browser, pair) -> None:
    page = opened(browser, pair)
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("() => document.activeElement.id || document.activeElement.tagName"))
    wanted = {"picture", "handle", "zoom-in", "zoom-fit", "swap", "stretch-mode", "stretch-source"}
    assert wanted <= seen
    names = page.evaluate(
        """() => [...document.querySelectorAll("select, input, button")]
            .filter((one) => !(one.ariaLabel || one.textContent.trim() && one.tagName === "BUTTON"
                || one.labels?.length && one.labels[0].textContent.trim()))
            .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert names == []


def test_zooming_by_wheel_keeps_the_place_under_the_cursor(browser, pair) -> None:
    page = opened(browser, pair)
    box = page.locator("#picture").bounding_box()
    left, top = box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4
    places = []
    page.mouse.move(left, top)
    for turn in (0, -400, -400):
        if turn:
            before = page.inner_text("#scale-text")
            page.mouse.wheel(0, turn)  # returns before the page has seen it
            page.wait_for_function(
                "(text) => document.getElementById('scale-text').innerText !== text", arg=before
            )
        settle(page)
        where = read_spectrum(page, left, top)
        places.append(re.search(r"([\d.]+), ([\d.]+) ·", where).groups())
    first, *others = [tuple(map(float, place)) for place in places]
    for place in others:
        # Written to a tenth of a pixel; a pixel of the first view is about 0.35 m.
        assert place == pytest.approx(first, abs=0.36, rel=0)


def test_the_cursor_tells_map_and_geographic_coordinates(browser, pair) -> None:
    page = opened(browser, pair)
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.getElementById('cursor').innerText.includes('° N')")
    text = page.inner_text("#cursor")
    easting, northing = map(float, re.search(r"EPSG:32633 ([\d.]+), ([\d.]+)", text).groups())
    assert easting == pytest.approx(500000 + SIDE / 4, abs=1)
    assert northing == pytest.approx(5000000 - SIDE / 4, abs=1)


def test_the_error_map_shows_where_files_differ(browser, results) -> None:
    page = opened(browser, results)
    assert page.inner_text("#left-name") == "two.tif"
    assert page.inner_text("#right-name") == "|two.tif − one.tif|"
    page.locator("#picture").focus()
    page.keyboard.press("x")  # the corner that differs lies left
    settle(page)
    box = page.locator("#picture").bounding_box()
    across = (box["width"] / 2 - 0.4 * min(box["width"], box["height"])) / box["width"]
    assert colour(page, across, 0.12) == [255, 250, 225, 255]
    assert colour(page, 0.45, 0.5) == [10, 10, 30, 255]
    assert "0 to 100 DN" in page.inner_text("#limits")
    read_spectrum(page, box["x"] + across * box["width"], box["y"] + 0.12 * box["height"])
    heads = page.locator("#spectrum thead th").all_inner_texts()
    assert heads[-1] == "|two.tif − one.tif|"
    assert page.locator("#spectrum tbody tr td:last-child").all_inner_texts() == ["100"] * 4


def test_turned_and_mirrored_files_lie_where_they_belong(browser, started, folder) -> None:
    pan = np.full((1, 400, 500), DARK, np.uint16)
    pan[:, :100, :250] = BRIGHT
    write_tif(folder / "north.tif", pan, PLACE)
    # The same ground: rows and columns exchanged, then columns counted from the south.
    turned = pan.transpose(0, 2, 1)[:, :, ::-1].copy()
    write_tif(folder / "turned.tif", turned, PLACE * Affine(0, 1, 0, -1, 0, 400))
    page = opened(browser, started("north.tif", "turned.tif"))
    fix_stretch(page)
    places = [(0.2, 0.15), (0.45, 0.15), (0.6, 0.15), (0.8, 0.15), (0.2, 0.6), (0.8, 0.8)]
    seen = []
    page.locator("#handle").focus()
    for key in ("End", "Home"):
        page.keyboard.press(key)
        settle(page)
        seen.append([is_dark_turned(colour(page, *place)) for place in places])
    assert seen[0] == seen[1] == [False, False, True, True, True, True]


def is_dark_turned(pixel: list[int]) -> bool:
    assert pixel[3] == 255
    return pixel[0] < 128


def test_bands_and_limits_are_chosen_and_told(browser, pair, folder) -> None:
    page = opened(browser, pair)
    with rasterio.open(folder / "ms.tif") as dataset:
        ms = dataset.read()
    shows = page.locator("#right select")
    assert [shows.nth(k).input_value() for k in range(1, 5)] == ["3", "3", "2", "1"]
    page.select_option("#stretch-mode", "0,100")
    settle(page)
    for letter, band in zip("RGB", (3, 2, 1), strict=True):
        span = f"{letter} {ms[band - 1].min()} to {ms[band - 1].max()}"
        page.wait_for_function(
            "(t) => document.getElementById('limits').innerText.includes(t)", arg=span
        )
    shows.nth(1).select_option("1")
    settle(page)
    assert page.locator("#right select").count() == 3
    page.locator("#right select").nth(2).select_option("4")
    settle(page)
    page.wait_for_function(
        "(t) => document.getElementById('limits').innerText.includes(t)",
        arg=f"{ms[3].min()} to {ms[3].max()} DN",
    )
    page.select_option("#stretch-source", label="ms.tif")
    page.wait_for_function(
        "() => document.getElementById('limits').innerText.includes('of ms.tif')"
    )
    settle(page)
    assert colour(page, 0.4, 0.5)[:3] == [0, 0, 0]  # the PAN lies below all of the MS


@pytest.mark.parametrize("ratio", [1, 2])
def test_telephones_have_no_overflow_and_fingers_work(chromium, pair, problems, ratio) -> None:
    context = chromium.new_context(
        viewport={"width": NARROW[0], "height": NARROW[1]}, device_scale_factor=ratio,
        has_touch=True, is_mobile=True,
    )  # fmt: skip
    page = context.new_page()
    page.on("console", lambda said: problems.append(said.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    opened(page, pair)
    assert overflow(page) == []
    assert page.evaluate("() => document.getElementById('picture').width") == NARROW[0] * ratio
    page.touchscreen.tap(195, 250)
    page.wait_for_selector("#spectrum svg")
    settle(page)
    assert overflow(page) == []
    before = page.inner_text("#scale-text")
    session = context.new_cdp_session(page)
    for step in range(6):
        points = [{"x": 195 - 20 - 18 * step, "y": 250}, {"x": 195 + 20 + 18 * step, "y": 250}]
        kind = "touchStart" if step == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function(
        "(limit) => parseFloat(document.getElementById('scale-text').innerText) < limit",
        arg=float(before.split()[0]),
    )
    settle(page)
    context.close()
    assert problems == []


def test_wide_screens_have_no_overflow(browser, results) -> None:
    page = opened(browser, results)
    assert overflow(page) == []
    page.locator("#picture").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#spectrum svg")
    assert overflow(page) == []


def test_a_viewer_that_ended_is_told(browser, started, problems) -> None:
    address = started("pan.tif")
    page = opened(browser, address)
    page.route("**/place*", lambda route: route.abort())
    page.locator("#picture").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#notice:visible")
    assert "start `bandweave view` again" in page.inner_text("#notice")
    # The browser notes the failed request by itself.
    problems[:] = [one for one in problems if "Failed to load resource" not in one]


def test_files_without_overviews_are_shown_pixel_for_pixel_first(browser, started, folder) -> None:
    write_tif(folder / "long.tif", np.full((1, 40, 5000), DARK, np.uint16), PLACE)
    page = opened(browser, started("long.tif"))
    assert "long.tif has no overviews" in page.inner_text("#notes")
    assert page.inner_text("#scale-text") == "50 m"
    width = page.locator("#scale-bar").bounding_box()["width"]
    assert width == pytest.approx(100 / 0.9996, abs=0.5)  # 50 m of 0.5 m pixels
    assert page.is_hidden("#handle")
    assert page.is_hidden("#swap")

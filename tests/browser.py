"""A real headless Chromium for the tests of pages; `scripts/install-browser` installs it.

Every test can ask for the fixture `browser`, a page. The program behind it
lives as long as the module, a page as long as the test. Its driver keeps an event loop running in
the test's thread, so these modules cannot call `asyncio.run` there: servers run in threads or
processes of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = (1280, 900), (390, 844)
"""Sizes in CSS pixels that every page has to be readable at: a laptop, a telephone."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """Start the browser; skip the test, with the reason, where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium here: scripts/install-browser installs it, as root")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra test")
    with playwright.sync_playwright() as driver:
        # Without the sandbox, which root in a container cannot have; pages are the tests' own.
        started = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture
def problems() -> list[str]:
    """Return the errors of the page so far; a test that provokes one takes it out."""
    return []


@pytest.fixture
def browser(chromium, problems) -> Iterator[object]:
    """Return a page (`playwright.sync_api.Page`), 1280 pixels wide.

    At the end of the test its console must have shown no error or warning, nothing may have been
    thrown, and nothing but the machine's own addresses and files may have been asked for.
    """
    page = chromium.new_page(viewport={"width": WIDE[0], "height": WIDE[1]})
    page.on("console", lambda said: _note(said, problems))
    page.on("pageerror", lambda error: problems.append(f"thrown: {error}"))
    page.on("request", lambda request: _watch(request.url, problems))
    yield page
    page.close()
    assert not problems


def _note(said, problems: list[str]) -> None:
    if said.type in {"error", "warning"}:
        problems.append(f"console: {said.text}")


def _watch(url: str, problems: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:", "http://localhost:")):
        problems.append(f"asked the network for {url}")


def overflow(page) -> list[str]:
    """Return what reaches beyond the right edge and makes the whole page scroll sideways.

    Parts that scroll in themselves (a wide table in its own box) are no overflow.
    """
    return page.evaluate(
        """() => {
            const root = document.documentElement;
            if (root.scrollWidth <= root.clientWidth) return [];
            const found = [...document.body.querySelectorAll("*")]
                .filter((one) => one.getBoundingClientRect().right > root.clientWidth + 0.5)
                .map((one) => `${one.tagName} ${one.className} ${one.id}`);
            return found.length ? found : ["the page"];
        }"""
    )

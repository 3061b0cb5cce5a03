"""The viewer's addresses: who is refused, what cannot be reached, what is answered."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image as Picture

pytest.importorskip("starlette", reason="needs the extra viewer")
from starlette.testclient import TestClient

from bandweave.viewer.scene import Scene
from bandweave.viewer.server import PAGE, Service, TileCache, make_app
from scenes import write_tif

TOKEN, PORT = "s3cret-token", 8765
ROOT = f"http://127.0.0.1:{PORT}"
LOOK = "bands=1&limits=0:255"


@pytest.fixture
def service(tmp_path: Path, rng) -> Iterator[Service]:
    image = rng.integers(1, 255, (2, 300, 310), dtype=np.uint8)
    place = Affine(2, 0, 500000, 0, -2, 5000000)
    paths = [str(write_tif(tmp_path / name, image, place)) for name in ("a.tif", "b.tif")]
    (tmp_path / "secret.tif").write_bytes(Path(paths[0]).read_bytes())
    with Scene(paths) as scene:
        service = Service(scene, threads=1)
        yield service
        service.close()


@pytest.fixture
def client(service: Service) -> TestClient:
    app = make_app(service, token=TOKEN, port=PORT)
    return TestClient(app, base_url=f"{ROOT}/{TOKEN}/", raise_server_exceptions=False)


ADDRESSES = ["", "scene", "main.js", f"tile/0/0/0/0?{LOOK}", "limits/0?bands=1&low=2&high=98",
             "place?x=1&y=1", "geographic?x=1&y=1"]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_everything_answers_its_own_page(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%2e%2e"])
def test_without_the_token_all_is_refused(client: TestClient, token: str) -> None:
    for address in ADDRESSES:
        answer = client.get(f"{ROOT}/{token}/{address}")
        assert answer.status_code == 403
        assert "token" in answer.text
        assert TOKEN not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": f"evil.example:{PORT}"},
        {"host": f"127.0.0.1.evil.example:{PORT}"},
        {"host": "127.0.0.1"},
        {"host": f"127.0.0.1:{PORT + 1}"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": f"http://evil.example:{PORT}"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=lambda headers: "".join(f"{k} {v}" for k, v in headers.items()),
)
def test_foreign_hosts_and_origins_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    for address in ADDRESSES:
        answer = client.get(address, headers=headers)
        assert answer.status_code == 403
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_own_origin_and_localhost_are_welcome(client: TestClient) -> None:
    for host in ("127.0.0.1", "localhost"):
        headers = {"host": f"{host}:{PORT}", "origin": f"http://{host}:{PORT}"}
        assert client.get("scene", headers=headers | {"sec-fetch-site": "same-origin"}).is_success


def test_a_link_followed_from_elsewhere_opens_the_page_and_nothing_else(client: TestClient) -> None:
    link = {
        "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document",
    }  # fmt: skip
    assert client.get("", headers=link).is_success
    for other in ({"sec-fetch-dest": "iframe"}, {"sec-fetch-mode": "no-cors"}):
        assert client.get("", headers=link | other).status_code == 403
    assert client.get("", headers=link | {"origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(client: TestClient, method: str) -> None:
    assert client.request(method, "scene").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "secret.tif", "a.tif", "../secret.tif", "..%2fsecret.tif", "%2e%2e/%2e%2e/etc/passwd",
        "../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "page/index.html", "server.py",
        "../server.py", "..%5cserver.py", "main.js/../../server.py", "main.js%00.py",
        "tile/../scene.py", f"tile/a.tif/0/0/0?{LOOK}", f"tile/..%2fsecret.tif/0/0/0?{LOOK}",
        f"tile/%2fetc%2fpasswd/0/0/0?{LOOK}", f"tile/2/0/0/0?{LOOK}", f"tile/-1/0/0/0?{LOOK}",
        "limits/secret.tif?bands=1&low=2&high=98", f"tile/0/0/0/..%2f0?{LOOK}",
    ],
)  # fmt: skip
def test_no_address_becomes_a_file(client: TestClient, path: str) -> None:
    # As raw bytes: the client would tidy dots away before they are sent.
    status, body = asyncio.run(raw_get(client.app, f"/{TOKEN}/{path}"))
    assert status in (400, 403, 404), body[:100]
    assert b"root:" not in body
    assert b"import" not in body
    assert len(body) < 300


async def raw_get(app, target: str) -> tuple[int, bytes]:
    from urllib.parse import unquote

    path, _, query = target.partition("?")
    scope = {
        "type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(),
        "query_string": query.encode(), "headers": [(b"host", f"127.0.0.1:{PORT}".encode())],
        "http_version": "1.1", "scheme": "http", "root_path": "",
        "server": ("127.0.0.1", PORT), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    said: list[dict] = []

    async def receive() -> dict:
        await asyncio.sleep(3600)
        return {}

    async def send(message: dict) -> None:
        said.append(message)

    await app(scope, receive, send)
    body = b"".join(m.get("body", b"") for m in said)
    return next(m["status"] for m in said if m["type"] == "http.response.start"), body


def test_the_page_brings_all_it_needs(client: TestClient) -> None:
    for name, kind in PAGE.items():
        answer = client.get(name)
        assert answer.headers["content-type"].startswith(kind)
        assert "https://" not in answer.text
        # Only the name spaces of SVG.
        assert all("www.w3.org" in part[:14] for part in answer.text.split("http://")[1:])
        assert "style=" not in answer.text
        assert "innerHTML" not in answer.text
    folder = Path(__file__).parents[1] / "src" / "bandweave" / "viewer" / "page"
    assert {path.name for path in folder.iterdir()} == set(PAGE)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tile/0/0/0/0?bands=1", "limits"),
        ("tile/0/0/0/0?bands=9&limits=0:1", "1 to 2"),
        ("limits/0?bands=1&low=2", "`high` must be a number from 0 to 100"),
        ("limits/0?bands=1&low=-2&high=98", "`low`"),
        ("place?x=nan&y=1", "`x`"),
        ("place?y=1", "`x`"),
        ("geographic?x=1&y=1e300", "`y`"),
        ("tile/7/0/0/0?bands=1&limits=0:1", "no such layer"),
    ],
)
def test_wrong_requests_are_told_in_a_sentence(
    client: TestClient, address: str, words: str
) -> None:
    answer = client.get(address)
    assert answer.status_code == 400
    assert words in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("place", ["0/2/0", "0/0/2", "9/0/0", "99999999999/0/0", "0/-1/0"])
def test_there_are_no_tiles_beside_the_image(client: TestClient, place: str) -> None:
    assert client.get(f"tile/0/{place}?{LOOK}").status_code == 404


def test_tiles_are_pictures_and_come_from_the_cache_the_second_time(
    client: TestClient, monkeypatch
) -> None:
    address = f"tile/0/0/1/1?{LOOK}"
    first = client.get(address)
    assert first.headers["content-type"] == "image/webp"
    assert Picture.open(io.BytesIO(first.content)).size == (54, 44)
    monkeypatch.setattr("bandweave.viewer.server.render_tile", None)
    assert client.get(address).content == first.content


def test_the_cache_forgets_what_was_used_least_recently() -> None:
    cache = TileCache(capacity=10)
    for name in "abc":
        cache.put(name, b"123")
    assert cache.get("a") == b"123"
    cache.put("d", b"123")
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]
    cache.put("a", b"1234567890")
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a"]


def test_a_damaged_file_is_told_and_the_viewer_goes_on(client: TestClient, tmp_path: Path) -> None:
    os.truncate(tmp_path / "a.tif", 4000)
    broken = client.get(f"tile/0/0/1/1?{LOOK}")
    assert broken.status_code == 500
    assert "a.tif could not be read" in broken.text
    assert client.get(f"tile/1/0/1/1?{LOOK}").is_success


def test_work_of_clients_that_left_is_dropped(service: Service, monkeypatch) -> None:
    """One thread is busy; of two that wait behind it, the one whose client leaves never runs."""
    app = make_app(service, token=TOKEN, port=PORT)
    go, rendered = threading.Event(), []

    def slow(layer, level, row, col, look) -> bytes:
        if not rendered:
            go.wait(10)
        rendered.append((row, col))
        return b"tile"

    monkeypatch.setattr("bandweave.viewer.server.render_tile", slow)

    async def ask(col: int, leaves: asyncio.Event) -> None:
        scope = {
            "type": "http", "method": "GET", "path": f"/{TOKEN}/tile/0/0/0/{col}",
            "query_string": LOOK.encode(), "root_path": "",
            "headers": [(b"host", f"127.0.0.1:{PORT}".encode())],
        }  # fmt: skip

        async def receive() -> dict:
            await leaves.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            pass

        await app(scope, receive, send)

    async def scenario() -> None:
        leave, stay = asyncio.Event(), asyncio.Event()
        busy, gone = asyncio.create_task(ask(0, stay)), asyncio.create_task(ask(1, leave))
        waiting = asyncio.create_task(ask(2, stay))
        await asyncio.sleep(0.05)
        leave.set()
        await asyncio.wait_for(gone, 5)
        go.set()
        await asyncio.wait_for(asyncio.gather(busy, waiting), 5)

    asyncio.run(scenario())
    assert rendered == [(0, 0), (0, 2)]


def test_several_threads_give_the_same_tiles(tmp_path: Path, rng) -> None:
    image = rng.integers(1, 255, (1, 1500, 1500), dtype=np.uint8)
    path = str(write_tif(tmp_path / "a.tif", image, None))
    addresses = [f"tile/0/{z}/{r}/{c}?{LOOK}" for z in (0, 1) for r in range(3) for c in range(3)]
    assert tiles_of(path, addresses, threads=1) == tiles_of(path, addresses, threads=4)


def tiles_of(path: str, addresses: list[str], *, threads: int) -> list[bytes]:
    """Ask for all addresses at once."""
    with Scene([path]) as scene, ThreadPoolExecutor(len(addresses)) as clients:
        service = Service(scene, threads=threads)
        app = make_app(service, token=TOKEN, port=PORT)
        client = TestClient(app, base_url=f"{ROOT}/{TOKEN}/")
        found = list(clients.map(lambda address: client.get(address).content, addresses))
        service.close()
    return found

"""The viewer's addresses: its page, the description of the layers, limits, tiles, places.

All lie under `/TOKEN/`. Layers are named by keys of the scene, the page's files by a fixed list: no
part of an address ever becomes the name of a file.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from bandweave.errors import ConfigError, FusionError
from bandweave.machine import available_cores
from bandweave.viewer.guard import Guard
from bandweave.viewer.layers import Layer
from bandweave.viewer.scene import Scene
from bandweave.viewer.stretch import Samples
from bandweave.viewer.tiles import MEDIA_TYPE, Look, parse_bands, render_tile

Result = TypeVar("Result")

PAGE = {
    "index.html": "text/html",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "main.js": "text/javascript",
    "service.js": "text/javascript",
    "view.js": "text/javascript",
    "tiles.js": "text/javascript",
    "stage.js": "text/javascript",
    "gestures.js": "text/javascript",
    "panel.js": "text/javascript",
    "spectrum.js": "text/javascript",
    "readout.js": "text/javascript",
}
"""The files of the page and their types; there are no others."""

_CACHE_BYTES = 128 * 2**20
_CLIENT_LEFT = 499  # never sent: nobody listens any more


class TileCache:
    """Encoded tiles, the least recently used of which go first."""

    def __init__(self, capacity: int = _CACHE_BYTES) -> None:
        self._tiles: OrderedDict[str, bytes] = OrderedDict()
        self._capacity = capacity
        self._size = 0

    def get(self, address: str) -> bytes | None:
        """Return a tile, which becomes the last to go."""
        tile = self._tiles.get(address)
        if tile is not None:
            self._tiles.move_to_end(address)
        return tile

    def put(self, address: str, tile: bytes) -> None:
        """Keep a tile, and drop old ones beyond the capacity."""
        self._size += len(tile) - len(self._tiles.pop(address, b""))
        self._tiles[address] = tile
        while self._size > self._capacity:
            self._size -= len(self._tiles.popitem(last=False)[1])


class Service:
    """Answers for one scene. Rasters are read in as many threads as there are cores."""

    def __init__(self, scene: Scene, *, threads: int | None = None) -> None:
        self._scene = scene
        self._layers = scene.layers
        self._samples = Samples()
        self._cache = TileCache()
        self._pool = ThreadPoolExecutor(threads or available_cores(), "bandweave-view")

    @property
    def routes(self) -> list[Route]:
        """Return what can be asked for."""
        page = [Route(f"/{name}", _page_file(name)) for name in PAGE]
        return [
            Route("/", _page_file("index.html")),
            *page,
            Route("/scene", self._describe),
            Route("/limits/{layer}", self._limits),
            Route("/place", self._place),
            Route("/geographic", self._geographic),
            Route("/tile/{layer}/{level:int}/{row:int}/{col:int}", self._tile),
        ]

    def close(self) -> None:
        """Drop what waits and end the threads."""
        self._pool.shutdown(cancel_futures=True)

    async def _describe(self, request: Request) -> Response:
        del request
        return JSONResponse(self._scene.describe())

    async def _limits(self, request: Request) -> Response:
        """Answer `?bands=5,3,2&low=2&high=98`: limits in DN and the pixels they are taken from."""
        layer = self._layer(request)
        bands = parse_bands(request.query_params, layer)
        low, high = (_number(request, name, 0, 100) for name in ("low", "high"))

        def work() -> Response:
            samples = [self._samples.of(layer, band) for band in bands]
            limits = [sample.limits(low, high) for sample in samples]
            return JSONResponse({"limits": limits, "origin": samples[0].origin})

        return await self._unless_left(request, work)

    async def _place(self, request: Request) -> Response:
        """Answer `?x=..&y=..`, on the plane: coordinates and the spectra of all files."""
        x, y = _position(request)
        return await self._unless_left(request, lambda: JSONResponse(self._scene.place(x, y)))

    async def _geographic(self, request: Request) -> Response:
        """Answer `?x=..&y=..`: longitude and latitude alone, at once, for the cursor."""
        x, y = _position(request)
        return JSONResponse(self._scene.plane.geographic(x, y))

    async def _tile(self, request: Request) -> Response:
        layer = self._layer(request)
        look = Look.parse(request.query_params, layer)
        address = f"{request.url.path}?{request.url.query}"
        tile = self._cache.get(address)
        if tile is None:
            place = request.path_params
            level, row, col = place["level"], place["row"], place["col"]
            rendered = await self._unless_left(
                request, lambda: render_tile(layer, level, row, col, look)
            )
            if rendered is None:
                return PlainTextResponse("There is no such tile.", status_code=404)
            if isinstance(rendered, Response):
                return rendered
            self._cache.put(address, rendered)
            tile = rendered
        return Response(tile, media_type=MEDIA_TYPE)

    def _layer(self, request: Request) -> Layer:
        key = request.path_params["layer"]
        if key not in self._layers:
            raise ConfigError("There is no such layer.")
        return self._layers[key]

    async def _unless_left(self, request: Request, work: Callable[[], Result]) -> Result | Response:
        """Run `work` in a thread, unless the client leaves before its turn comes.

        The page drops requests for tiles that went out of view; the threads then take up those in
        view at once.
        """
        job = asyncio.get_running_loop().run_in_executor(self._pool, work)
        leaving = asyncio.ensure_future(_until_left(request))
        await asyncio.wait((job, leaving), return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if job.done():
            return job.result()
        job.cancel()
        return Response(status_code=_CLIENT_LEFT)


def make_app(service: Service, *, token: str, port: int) -> Starlette:
    """Return the application that answers at `http://127.0.0.1:PORT/TOKEN/`."""
    return Starlette(
        routes=[Mount(f"/{token}", routes=service.routes)],
        middleware=[Middleware(Guard, token=token, port=port)],
        exception_handlers={FusionError: _say_why},
    )


def _page_file(name: str) -> Callable[[Request], Response]:
    content = files("bandweave.viewer").joinpath("page", name).read_bytes()

    def answer(request: Request) -> Response:
        del request
        return Response(content, media_type=PAGE[name])

    return answer


def _say_why(request: Request, error: Exception) -> Response:
    """Answer a wrong request with 400 and a file that cannot be read with 500, in a sentence."""
    del request
    status = 400 if isinstance(error, ConfigError) else 500
    return PlainTextResponse(str(error), status_code=status)


async def _until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _position(request: Request) -> tuple[float, float]:
    far = 1e12
    return _number(request, "x", -far, far), _number(request, "y", -far, far)


def _number(request: Request, name: str, least: float, most: float) -> float:
    text = request.query_params.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ConfigError(f"`{name}` must be a number from {least:g} to {most:g}, got {text!r}.")
    return value

"""Run the viewer on a port of 127.0.0.1 until it is interrupted."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import closing, suppress

import uvicorn

from bandweave.errors import OutputError
from bandweave.viewer.scene import Scene
from bandweave.viewer.server import Service, make_app

_HOST = "127.0.0.1"  # never another: there are no users and no encryption
_PATIENCE = 1  # seconds for answers under way when the viewer ends
_KEPT = 60  # seconds that an idle connection of the page stays open


def serve(scene: Scene, *, port: int = 0, ready: Callable[[str], None]) -> None:
    """Serve a scene until Ctrl-C.

    Args:
        scene: What to show.
        port: Port of 127.0.0.1; 0 takes a free one.
        ready: Called with the address, token included, once it can be asked.

    Raises:
        OutputError: The port is taken.
    """
    token = secrets.token_urlsafe(24)
    with closing(_listen(port)) as listener:
        number = listener.getsockname()[1]
        service = Service(scene)
        config = uvicorn.Config(
            make_app(service, token=token, port=number),
            log_level="error",
            access_log=False,  # addresses hold the token
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=_KEPT,
            timeout_graceful_shutdown=_PATIENCE,
        )
        ready(f"http://{_HOST}:{number}/{token}/")
        try:
            with suppress(KeyboardInterrupt):  # the usual way to end it
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            service.close()


def _listen(port: int) -> socket.socket:
    # Named as TCP, or asyncio leaves Nagle's algorithm on: 40 ms a tile on a kept connection.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        raise OutputError(
            f"Port {port} of this machine is taken; leave --port out, or choose another."
        ) from error
    listener.listen()
    return listener

"""Who may ask the viewer: only its own page, with the token, from this machine."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The page brings all it needs along: nothing from elsewhere may run, load, frame or be asked.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the token stands in the address
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HTTP = 80
_OWN_SITES = (None, "none", "same-origin")


class Guard:
    """Refuse what does not come from the viewer's own page, before anything else looks at it.

    A page elsewhere could make the browser ask 127.0.0.1, under a name of its own that it lets
    point here (DNS rebinding) or across origins; hence Host, Origin and Sec-Fetch-Site besides the
    token.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        suffix = "" if port == _HTTP else f":{port}"  # browsers leave the usual port out
        self._hosts = {f"127.0.0.1{suffix}", f"localhost{suffix}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse in one sentence."""
        if scope["type"] != "http":
            return  # web sockets are not accepted; there is no start-up to run

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        reason = self._refusal(scope)
        app = self._app if reason is None else PlainTextResponse(reason, status_code=403)
        await app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:
            return "The viewer answers on this machine only."
        origin = headers.get("origin")
        is_own = origin is None or origin.removeprefix("http://") in self._hosts
        is_from_elsewhere = headers.get("sec-fetch-site") not in _OWN_SITES
        if not is_own or (is_from_elsewhere and not _is_link(headers)):
            return "The viewer answers its own page only."
        given = scope["path"].split("/")[1] if "/" in scope["path"] else ""
        if not secrets.compare_digest(given.encode(), self._token):
            return "The address lacks the viewer's token; use the one that the program printed."
        return None


def _is_link(headers: Headers) -> bool:
    """Tell whether a link to the page was followed, as in a terminal that is a page itself.

    The page then stands alone: whoever had the link cannot see into it.
    """
    fetched = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return fetched == ("navigate", "document")

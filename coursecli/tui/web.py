"""The dashboard in a browser of this machine, through textual-serve: on the loopback address, with a key in the link.

Whoever can open the page can run checks as the user. So other users of the machine need the key, and pages of other
sites that a browser has open are refused by their origin.
"""

from __future__ import annotations

import hmac
import secrets
import shlex
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from textual_serve.server import Server

HOST = "127.0.0.1"
COOKIE = "intro2llm_key"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LocalServer(Server):
    """Starts the command anew for each browser tab that connects, and ends it with the tab."""

    def __init__(self, argv: Sequence[str], port: int, told: Callable[[str], None]) -> None:
        super().__init__(f"exec {shlex.join(argv)}", host=HOST, port=port, title="intro2llm")
        self.key = secrets.token_urlsafe(24)
        self._told = told

    @property
    def link(self) -> str:
        return f"{self.public_url}/?key={self.key}"

    def initialize_logging(self) -> None:
        """None: what goes wrong is shown in the browser, or ends this program."""

    async def on_startup(self, app: web.Application) -> None:
        self._told(self.link)

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host != f"{HOST}:{self.port}" or request.headers.get("Origin", self.public_url) != self.public_url:
            raise web.HTTPForbidden(text="This page is for this machine only.")
        if self._is_ours(request.query.get("key")):
            response = await handler(request)
            response.set_cookie(COOKIE, self.key, httponly=True, samesite="Strict")
            return response
        if not self._is_ours(request.cookies.get(COOKIE)):
            raise web.HTTPForbidden(text="Open the link that intro2llm has printed.")
        return await handler(request)

    def _is_ours(self, key: str | None) -> bool:
        return key is not None and hmac.compare_digest(key.encode(), self.key.encode())


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True

"""The dashboard in a browser of this machine, through textual-serve: on the loopback address, with a key in the link.

Whoever can open the page can run checks as the user. So other users of the machine need the key, and pages of other
sites that a browser has open are refused by their origin.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import shlex
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("page")
"""textual-serve's own page fetches a font from the network, and takes no key before it is clicked."""
GRACE_SECONDS = 10.0
"""From when a dashboard is asked to end until it is killed. What it has started ends with it."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LocalServer(Server):
    """Starts the command anew for each browser tab that connects, and ends it with the tab."""

    def __init__(self, argv: Sequence[str], port: int, told: Callable[[str], None]) -> None:
        command = f"exec {shlex.join(argv)}"
        super().__init__(command, host=HOST, port=port, title="intro2llm", templates_path=PAGE)
        self.key = secrets.token_urlsafe(24)
        self._tabs: set[web.WebSocketResponse] = set()
        self._told = told

    @property
    def link(self) -> str:
        return f"{self.public_url}/?key={self.key}"

    @property
    def cookie(self) -> str:
        """Cookies do not tell ports apart, and a learner may have two workspaces open."""
        return f"intro2llm_key_{self.port}"

    def initialize_logging(self) -> None:
        """None: what goes wrong is shown in the browser, or ends this program."""

    async def on_startup(self, app: web.Application) -> None:
        self._told(self.link)

    async def on_shutdown(self, app: web.Application) -> None:
        await asyncio.gather(*(tab.close() for tab in list(self._tabs)))

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        """Until the tab is closed; then until its command has ended, which a hung one is made to."""
        self._tabs.add(websocket)
        try:
            await super()._process_messages(websocket, app_service)
        finally:
            self._tabs.discard(websocket)
            await _end(app_service)

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
            response.set_cookie(self.cookie, self.key, httponly=True, samesite="Strict")
            return response
        if not self._is_ours(request.cookies.get(self.cookie)):
            raise web.HTTPForbidden(text="Open the link that intro2llm has printed.")
        return await handler(request)

    def _is_ours(self, key: str | None) -> bool:
        return key is not None and hmac.compare_digest(key.encode(), self.key.encode())


async def _end(app_service: AppService) -> None:
    process = app_service._process
    assert process is not None
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await app_service.send_meta({"type": "quit"})
                await process.wait()
    finally:  # also when the server gives up waiting for this
        if process.returncode is None:
            process.kill()
            await process.wait()


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True

"""`dashboard --web`: only this machine, only with the key, and a clear word where the extra is missing."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checking import marked, wait_until
from tests.conftest import Learner
from tests.tui.browser import served

pytest.importorskip("textual_serve", reason="the extra web")


async def test_only_with_the_key_and_only_from_its_own_page() -> None:
    from aiohttp.test_utils import TestClient, TestServer

    from coursecli.tui.web import HOST, LocalServer

    local = LocalServer([sys.executable, "-c", "pass"], 0, lambda link: None)
    server = TestServer(await local._make_app(), host=HOST)
    async with TestClient(server) as client:
        local.port, local.public_url = server.port, f"http://{HOST}:{server.port}"
        assert (await client.get("/")).status == 403
        assert (await client.get("/ws")).status == 403
        assert (await client.get(f"/?key={local.key}", headers={"Host": "evil.example"})).status == 403
        assert (await client.get(f"/?key={local.key}")).status == 200
        assert (await client.get("/static/css/xterm.css")).status == 200, "the browser has the key by now"
        assert (await client.get("/ws", headers={"Origin": "https://evil.example"})).status == 403


def test_what_is_missing_or_taken_is_said_in_a_line(learner: Learner) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        ran = learner("dashboard", "--web", "--port", port)
    assert ran.code == 2 and f"Port {port} is in use" in ran.text and "--port" in ran.text
    without = (
        "import sys; sys.modules['aiohttp'] = None; from coursecli.__main__ import run; "
        "sys.exit(run(['dashboard', '--web']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", without], cwd=learner.workspace, env=learner.environment, capture_output=True, text=True
    )
    assert ended.returncode == 7 and "intro2llm[web]" in ended.stderr


def answers(link: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(link).close()
    except urllib.error.URLError:
        return False
    return True


def test_it_serves_on_the_loopback_address_until_it_is_stopped(learner: Learner) -> None:
    import urllib.error
    import urllib.request

    with served(learner) as (_, link):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?key=\S+", link)
        assert wait_until(lambda: answers(link))
        with urllib.request.urlopen(link) as page:
            assert page.status == 200 and b"intro2llm" in page.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(link.partition("?")[0])


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
async def test_a_dashboard_ends_when_its_server_is_killed(learner: Learner) -> None:
    from aiohttp import ClientSession, CookieJar

    mark = f"orphan-{os.getpid()}"
    with served(learner, MARK=mark) as (server, link):
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as client:  # of an address, not of a name
            assert await asyncio.to_thread(wait_until, lambda: answers(link))
            async with client.get(link) as page:
                assert page.status == 200
            async with client.ws_connect(link.partition("?")[0] + "ws") as tab:
                await tab.receive_bytes()
                assert len(marked(f"MARK={mark}")) > 1
                server.kill()
                assert await asyncio.to_thread(wait_until, lambda: not marked(f"MARK={mark}"))


async def test_a_dashboard_that_does_not_end_is_made_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from aiohttp.test_utils import TestClient, TestServer

    from coursecli.tui import web

    noted = tmp_path / "pid"
    deaf = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
os.write(1, b"__GANGLION__\\nD\\0\\0\\0\\1!")
time.sleep(600)
"""
    monkeypatch.setattr(web, "GRACE_SECONDS", 0.1)
    local = web.LocalServer([sys.executable, "-c", deaf, str(noted)], 0, lambda link: None)
    server = TestServer(await local._make_app(), host=web.HOST)
    async with TestClient(server) as client:
        local.port, local.public_url = server.port, f"http://{web.HOST}:{server.port}"
        tab = await client.ws_connect(f"/ws?key={local.key}")
        assert await tab.receive_bytes() == b"!"
        await tab.close()

        def is_gone() -> bool:
            try:
                os.kill(int(noted.read_text()), 0)
            except ProcessLookupError:
                return True
            return False

        assert await asyncio.to_thread(wait_until, is_gone)

"""`dashboard --web`: only this machine, only with the key, and a clear word where the extra is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.checking import wait_until
from tests.conftest import Learner

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
    import re
    import signal
    import socket
    import urllib.error
    import urllib.request

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [learner.program, "dashboard", "--web", "--port", str(port)],
        cwd=learner.workspace,
        env=learner.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        link = re.search(rf"http://127\.0\.0\.1:{port}/\?key=\S+", process.stdout.readline())
        assert link is not None
        assert wait_until(lambda: answers(link[0]))
        with urllib.request.urlopen(link[0]) as page:
            assert page.status == 200 and b"intro2llm" in page.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in (0, 130)

"""The live page: one file, no build step, nothing from elsewhere.

Its policy lets it run its own script and style, known by their hashes, and speak to this server.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

FILE = Path(__file__).with_name("index.html")


@cache
def page() -> tuple[str, str]:
    """The page and its Content-Security-Policy."""
    html = FILE.read_text(encoding="utf-8")
    hashes = {}
    for tag in ("script", "style"):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digests = [hashlib.sha256(t.encode()).digest() for t in texts]
        hashes[tag] = " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return html, policy


async def show(_: Any, __: Request) -> Response:
    html, policy = page()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(html, headers=headers)

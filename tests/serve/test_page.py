"""The live page: one file under a strict policy, and, in a browser, a run from start to replay.

`OPENZAYA_IMAGES=docs/images pytest -m browser tests/serve/test_page.py` also takes the pictures
that docs/rsa.md shows.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from openzaya.config.rsa import preset
from openzaya.serve.page import FILE, page
from openzaya.ttc import Journal, reason
from openzaya.types import Message
from tests.serve.conftest import Running, Scripted, upstream_of

QUESTION = (
    "How many integers from 1 to 1000 are divisible by 3 and have a digit sum that is a multiple "
    "of 7?"
)
STEPS = (
    "The digit sum of n is at most 27, so it is 7, 14 or 21. ",
    "Divisible by 3 means that the digit sum is, hence it is 21. ",
    "Count digits with a + b + c = 21. ",
    "With x = 9 - a and so on, x + y + z = 6: C(8, 2) = 28 ways.\n",
    "By listing: 399, 489, 498, 579, 588, 597, 669, 678, 687, 696, ...\n",
)


def pupil(prompt: str, seed: int) -> tuple[str, str]:
    """Right a third of the time; every right attempt that it is shown helps."""
    r = random.Random(seed)
    right = r.random() < 0.4 + 0.25 * prompt.count("so there are 28.")
    answer = 28 if right else r.choice([27, 29, 21, 36, 142])
    if r.random() < 0.08:
        return "".join(
            r.choice(STEPS) for _ in range(5)
        ), "I do not know how to go on from here; it may be anything."
    steps = "".join(r.choice(STEPS) for _ in range(r.randint(4, 12)))
    return f"{steps}so there are {answer}.", f"There are \\boxed{{{answer}}}."


def test_it_is_one_file_that_asks_nobody(tmp_path: Path) -> None:
    html, policy = page()
    assert html == FILE.read_text(encoding="utf-8")
    assert len(re.findall("<script", html)) == 1 == len(re.findall("<style", html))
    # Nothing that the policy would block: no style or handler in an attribute, no address.
    body = re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"\s(style|on\w+)=", body) and not re.search(r"\ssrc=", html)
    addresses = re.findall(r"\w+://[^\s\"')]+", html)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}, addresses  # a name, not a place
    assert "innerHTML" not in html, "what a model writes is text"
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "unsafe" not in policy
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy


def test_it_is_served_without_a_key() -> None:
    with Scripted(pupil) as scripted, Running(upstream_of(scripted, api_key="k")) as running:
        answer = httpx.get(f"{running.url}/")
        assert answer.status_code == 200 and answer.text == page()[0]
        assert answer.headers["content-security-policy"] == page()[1]
        assert answer.headers["content-type"].startswith("text/html")
        assert httpx.get(f"{running.url}/rsa").status_code == 401


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Seen:
    """A page, and everything that it said and asked for."""

    def __init__(self, chromium: Any, url: str, **context: Any) -> None:
        self.url = url
        size = {"width": 1360, "height": 860}
        self.context = chromium.new_context(**({"viewport": size} | context))
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", lambda m: self.said.append(m.text))
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.on("request", self._asked)
        self.page.goto(url)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.foreign.append(request.url)

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, kind: Any, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert self.said == [] and self.foreign == []


def picture(page: Any, name: str) -> None:
    if folder := os.environ.get("OPENZAYA_IMAGES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(400)
        shot = Image.open(io.BytesIO(page.screenshot()))
        shot.quantize(128).save(f"{folder}/{name}.png", optimize=True)


def ask(page: Any, **fields: str) -> None:
    """Fill in and start."""
    page.wait_for_selector("#preset option", state="attached")
    page.fill("#question", QUESTION)
    page.select_option("#kind", "math")
    page.click("#more summary")
    given = {"tau": "256", "beta": "2048", "final_max_tokens": "2048"} | fields
    for name, value in given.items():
        page.fill(f"#{name}", value)
    page.click("#more summary")
    page.click("#run")


def wait_for(page: Any, condition: Any) -> None:
    """Polled from outside: the policy lets nobody evaluate text in the page."""
    for _ in range(200):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not happen")


def cell(page: Any, id_: str) -> Any:
    return page.locator(f'button.cell[data-id="{id_}"]')


@pytest.mark.browser
def test_a_run_from_question_to_replay(chromium: Any, tmp_path: Path) -> None:
    with (
        Scripted(pupil, pause=0.08) as scripted,
        Running(upstream_of(scripted)) as running,
        Seen(chromium, f"{running.url}/", accept_downloads=True) as page,
    ):
        page.wait_for_selector(".cell.ghost")
        assert page.input_value("#preset") == "cpu" and page.input_value("#kind") == "math"
        ask(page, n="16", c="4", seed="4")
        # Live: text grows in the cells, edges say who was shown to whom.
        page.wait_for_selector('.cell.running .chip:text-matches("\\\\w")')
        page.wait_for_selector("#edges path")
        page.wait_for_selector('button.cell[data-id="1.3"]')
        page.wait_for_selector("#replay:not([hidden])", timeout=60_000)
        assert page.inner_text("#state") == "done" and page.inner_text("#answer") == "28"
        assert page.inner_text("#m-rolls") == "48 / 48"
        assert page.locator("button.cell").count() == 48
        assert page.locator(".cell.chosen").count() == 1
        assert page.locator(".votes i").count() >= 6
        assert int(page.inner_text("#m-agree").rstrip("%")) > 50
        # A cell: what it wrote, and the prompt as the endpoint got it.
        first = cell(page, "1.3")
        first.click()
        page.wait_for_selector("#detail:not([hidden])")
        assert "\\boxed" in page.inner_text("#d-text") and page.locator("#lit path").count() >= 4
        page.click("#tab-prompt")
        prompts = [c["messages"][-1]["content"] for c in scripted.calls]
        shown = page.locator("#d-text").text_content().removeprefix("user\n")
        assert shown in prompts and QUESTION in shown and "[End of attempt 4]" in shown
        assert page.locator(".kin-button").count() >= 4
        picture(page, "rsa-cell")
        ends = [json.loads(x) for x in page.evaluate("events.map(e => e.raw)")]
        seed = next(e["seed"] for e in ends if e["type"] == "cand.start" and e["id"] == "1.3")
        assert str(seed) in page.inner_text("#d-facts"), "all 63 bits of it"
        page.click("#tab-tail")
        # By keyboard: close, walk, open.
        page.keyboard.press("Escape")
        assert page.locator("#detail").is_hidden()
        assert page.evaluate("document.activeElement.dataset.id") == "1.3"
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("document.activeElement.dataset.id") == "0.4"
        page.keyboard.press("Enter")
        assert page.inner_text("#d-title") == "Round 0, candidate 4"
        page.keyboard.press("Escape")
        if os.environ.get("OPENZAYA_IMAGES"):
            page.evaluate("document.activeElement.blur()")
            cell(page, "2.0").hover()
        picture(page, "rsa-page")
        # Saved and opened again: the same, at any moment.
        with page.expect_download() as download:
            page.click("#save")
        file = tmp_path / "run.jsonl"
        download.value.save_as(file)
        meters = [page.inner_text(f"#m-{m}") for m in ("agree", "rolls", "out", "in")]
        page.reload()
        page.set_input_files("#file", file)
        page.wait_for_selector("#replay:not([hidden])")
        page.wait_for_selector(".cell.chosen")
        assert page.inner_text("#answer") == "28"
        assert [page.inner_text(f"#m-{m}") for m in ("agree", "rolls", "out", "in")] == meters
        page.locator("#time").fill("0")
        cells = page.locator("button.cell")
        wait_for(page, lambda: cells.count() <= 16)
        page.locator("#time").fill("500")
        wait_for(page, lambda: 16 <= cells.count() <= 48)
        assert page.locator(".cell.chosen").count() == 0
        page.select_option("#speed", "64")
        page.click("#play")
        page.wait_for_selector(".cell.chosen")
        page.wait_for_selector('#play:text("Play")')


@pytest.mark.browser
def test_stop_answers_from_what_there_is(chromium: Any) -> None:
    with (
        Scripted(pupil, pause=0.15) as scripted,
        Running(upstream_of(scripted)) as running,
        Seen(chromium, f"{running.url}/") as page,
    ):
        ask(page, n="8", seed="1", t="3")
        page.wait_for_selector('#m-rolls:text-matches("^[3-9] / 32|^1\\\\d / 32")', timeout=60_000)
        page.click("#stop")
        page.wait_for_selector('#state:text("stopped")')
        page.wait_for_selector("#replay:not([hidden])")
        assert re.fullmatch(r"\d+", page.inner_text("#answer"))
        assert page.locator("button.cell").count() < 32 and page.is_enabled("#run")
        runs = running.service.runs
        page.wait_for_timeout(300)
        assert not runs.active and runs.reserved == 0 and scripted.open == 0


@pytest.mark.browser
def test_a_page_that_is_closed_frees_the_endpoint(chromium: Any) -> None:
    with Scripted(pupil, pause=0.5) as scripted, Running(upstream_of(scripted)) as running:
        with Seen(chromium, f"{running.url}/") as page:
            ask(page, n="8")
            page.wait_for_selector('button.cell[data-id="0.7"]')
            assert scripted.open > 0
        for _ in range(100):
            if scripted.open == 0 and not running.service.runs.active:
                return
            time.sleep(0.05)
        raise AssertionError(f"{scripted.open} answers are on their way still")


@pytest.mark.browser
def test_a_journal_of_the_library_without_any_server(chromium: Any, tmp_path: Path) -> None:
    """From the disk, offline; a broken line is left out, and text stays text."""
    evil = "<img src=x onerror=alert(1)>"

    def reply(prompt: str, seed: int) -> tuple[str, str]:
        return f"{evil} thinking", f"\\boxed{{{evil}}}"

    async def run(path: Path) -> None:
        with Scripted(reply) as scripted, Journal.open(path, fsync="never") as journal:
            host = upstream_of(scripted)
            async with host.sampler("sage", None, 8192) as sampler:
                config = preset("cpu", ["kind=math", "population=6", "widths=[6, 6, 2]"])
                question = (Message("user", QUESTION),)
                await reason(question, sampler, config, run_id="x", journal=journal)
            await host.close()

    file = tmp_path / "journal.jsonl"
    with ThreadPoolExecutor(1) as pool:  # Playwright has a loop of its own in this thread
        pool.submit(asyncio.run, run(file)).result()
    text = file.read_text().splitlines()
    file.write_text("\n".join([*text[:5], '{"type": "cand.e', *text[5:]]))
    with Seen(chromium, FILE.as_uri()) as page:
        page.wait_for_selector(".cell.ghost")
        page.set_input_files("#file", file)
        page.wait_for_selector(".cell.chosen")
        assert page.locator("button.cell").count() == 14
        assert page.inner_text("#m-rolls") == "14 / 14"
        assert page.locator("#answer").text_content() == evil
        assert "1 unreadable" in page.inner_text("#model") and page.is_disabled("#run")
        cell(page, "1.1").click()
        assert evil in page.locator("#d-text").text_content()
        assert page.locator("img").count() == 0
        page.set_input_files("#file", {"name": "x.txt", "mimeType": "text/plain", "buffer": b"no"})
        page.wait_for_selector('#error:text("no journal")')


@pytest.mark.browser
def test_keys_and_refusals_are_shown(chromium: Any) -> None:
    with (
        Scripted(pupil) as scripted,
        Running(upstream_of(scripted, key=None, api_key="secret")) as running,
    ):
        seen = Seen(chromium, f"{running.url}/")
        with seen as page:
            page.wait_for_selector("#key[open]")
            page.fill("#key-text", "secret")
            page.keyboard.press("Enter")
            ask(page, n="2", c="4")
            page.wait_for_selector('#error:text("rsa.c: 4 tails cannot be drawn from 2")')
            assert page.inner_text("#state") == "failed"
            kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
            assert kept == "[{},{}]" and not seen.context.cookies()
            # Chromium itself notes refusals in the console; the page says nothing.
            assert all("Failed to load resource" in line for line in seen.said)
            seen.said.clear()


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 700])
def test_a_narrow_dark_window(chromium: Any, width: int) -> None:
    with (
        Scripted(pupil) as scripted,
        Running(upstream_of(scripted)) as running,
        Seen(
            chromium, f"{running.url}/", color_scheme="dark",
            viewport={"width": width, "height": 740},
        ) as page,
    ):  # fmt: skip
        ask(page, n="24", c="2", beta="600", tau="32", final_max_tokens="600")
        page.wait_for_selector("#replay:not([hidden])", timeout=60_000)
        wide = "document.scrollingElement.scrollWidth <= window.innerWidth"
        assert page.evaluate(wide), "only the board scrolls sideways"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 27)"

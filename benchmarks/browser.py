"""A page in a real headless browser: what it looks like from inside, what its console said, how long it took to open."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_TIMEOUT_S = 120
_PROBE = """<script>addEventListener("load", () => {
  const box = (each) => each.getBoundingClientRect();
  const laid_out = box(document.body).height;  // asking for it lays the page out, all of it
  const opened_ms = performance.now();
  const mark = document.querySelector("[data-t]");
  for (const type of ["mouseover", "click"]) mark?.dispatchEvent(new MouseEvent(type, { bubbles: true }));
  document.documentElement.dataset.probe = JSON.stringify({
    opened_ms, laid_out,
    width: innerWidth,
    needed_width: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor,
    sections: [...document.querySelectorAll("section")].map((each) => [each.id, each.innerText]),
    figures: [...document.querySelectorAll("svg.figure")].map((each) => [each.getAttribute("aria-label"), box(each).width,
      box(each).height, each.querySelectorAll("path, circle, rect").length]),
    pictures: [...document.querySelectorAll("img")].map((each) => each.naturalWidth),
    lit: document.querySelectorAll(".lit[data-t]").length,
    tip: document.getElementById("tip").innerText,
  });
});</script>"""


@dataclass(frozen=True)
class Opened:
    """What a page was like, once it was drawn."""

    seen: dict[str, Any]
    """opened_ms: from navigation until everything is loaded and laid out; lit and tip: what pointing at a trial does."""
    console: list[str]
    """Everything that was written to the browser's console."""


def find() -> str | None:
    """The browser of this machine, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def opened(browser: str, page: Path, width: int = 1366, dark: bool = False) -> Opened:
    """Open a copy of the page that looks at itself. Raises RuntimeError if that is never loaded."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "page.html")
        copy.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{_PROBE}</body>"), encoding="utf-8")
        ended = _run(browser, folder, width, dark, "--enable-logging=stderr", "--dump-dom", copy.as_uri())
    probe = re.search(r'data-probe="([^"]*)"', ended.stdout)
    if probe is None:
        raise RuntimeError(f"{browser} did not open {page}: {ended.stderr[-2000:]}")
    console = [line for line in ended.stderr.splitlines() if ":CONSOLE" in line]
    return Opened(json.loads(html.unescape(probe[1])), console)


_MEASURE = """<script>addEventListener("load", () => setTimeout(() => {
  const inside = document.querySelector("iframe").contentDocument, view = inside.defaultView, texts = [], outside = [];
  for (const each of inside.querySelectorAll("details")) each.open = true;
  const shown = (each) => each.getClientRects().length > 0 && each.closest("[hidden]") === null;
  for (const each of inside.querySelectorAll("body *")) {
    if (!shown(each) || ["SCRIPT", "STYLE"].includes(each.tagName)) continue;
    const box = each.getBoundingClientRect();
    let scrolls = each;
    while (scrolls && !["auto", "scroll"].includes(view.getComputedStyle(scrolls).overflowX)) scrolls = scrolls.parentElement;
    if (box.right > view.innerWidth + 1 && scrolls === null) outside.push(each.tagName + " " + each.className);
    if (![...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const scale = each.getScreenCTM ? each.getScreenCTM().a || Math.abs(each.getScreenCTM().b) : 1;
    texts.push([parseFloat(view.getComputedStyle(each).fontSize) * scale, each.textContent.slice(0, 40)]);
  }
  document.documentElement.dataset.probe = JSON.stringify({
    width: view.innerWidth, needed_width: inside.documentElement.scrollWidth, texts, outside,
    height: inside.documentElement.scrollHeight, background: view.getComputedStyle(inside.body).backgroundColor,
    figures: [...inside.querySelectorAll("svg.figure")].filter(shown).map((each) => each.getAttribute("aria-label")),
  });
}, 100));</script>"""


def measured(browser: str, page: Path, width: int, dark: bool = False) -> dict[str, Any]:
    """The page in a frame of any width, narrower than a browser's window can be: the size of each text in pixels, what lies
    outside the frame and in no box that scrolls, and how wide the page would have to be."""
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder, "frame.html")
        frame.write_text(_framed(page, width, 900) + _MEASURE, encoding="utf-8")
        ended = _run(browser, folder, max(width, 800), dark, "--virtual-time-budget=5000", "--dump-dom", frame.as_uri())
    probe = re.search(r'data-probe="([^"]*)"', ended.stdout)
    if probe is None:
        raise RuntimeError(f"{browser} did not open {page} in a frame: {ended.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(html.unescape(probe[1]))
    return found


def picture(browser: str, page: Path, to: Path, width: int, height: int, dark: bool = False) -> None:
    """A picture of the page in a frame of any width."""
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder, "frame.html")
        frame.write_text(_framed(page, width, height), encoding="utf-8")
        _run(browser, folder, max(width, 500), dark, f"--screenshot={to}", frame.as_uri(), height=height)


def _framed(page: Path, width: int, height: int) -> str:
    text = html.escape(page.read_text(encoding="utf-8"))
    style = f"border: 0; width: {width}px; height: {height}px; color-scheme: light dark"
    return f'<!doctype html><style>body {{ margin: 0 }}</style><iframe style="{style}" srcdoc="{text}"></iframe>'


def painted_s(
    browser: str, page: Path, picture: Path, width: int = 1366, height: int = 900, dark: bool = False
) -> float:
    """Seconds from starting the browser until it has written a picture of the page."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        _run(browser, folder, width, dark, f"--screenshot={picture}", page.as_uri(), height=height)
        took_s = time.perf_counter() - began
    if not picture.is_file():
        raise RuntimeError(f"{browser} wrote no picture of {page}")
    return took_s


def _run(
    browser: str, folder: str, width: int, dark: bool, *arguments: str, height: int = 900
) -> subprocess.CompletedProcess[str]:
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
        f"--user-data-dir={folder}/profile", f"--window-size={width},{height}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", *arguments,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)

"""The page on made-up figures, in a real browser, without a lab: both themes, a phone, a keyboard, and a cluster of two hundred jobs with twenty executors each."""

import importlib.util
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.e2e.airflow_server import chromium

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
ROUTES = [
    "#/lake",
    "#/jobs",
    "#/jobs/spark-jobs/spark-job-4f1c9a2e07-1",
    "#/jobs/spark-jobs/payments-stream",
    "#/jobs/spark-jobs/spark-job-0b77d1c3aa-1",
    "#/compare/spark-jobs/a/spark-jobs/b",
]
LARGE = 8.0  # seconds from the first byte to a list of 200 jobs, and to 21 pods of one, on a busy machine of two cores


@pytest.fixture(scope="module")
def figures() -> Any:
    spec = importlib.util.spec_from_file_location("serve", ROOT / "ui/dev/serve.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def address(figures: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), figures.Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/homelake/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    yield page
    assert page.errors == []
    context.close()


def shown(page: Any, address: str, route: str) -> None:
    page.goto(address + route)
    page.locator("h1").first.wait_for(timeout=20_000)
    if "jobs/" in route:
        page.locator("canvas").first.wait_for(timeout=20_000)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_fits_and_can_be_read(page: Any, address: str, route: str, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    for width in (1440, 360):
        page.set_viewport_size({"width": width, "height": 900})
        shown(page, address, route)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{route} scrolls sideways at {width}"
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
    assert page.evaluate("[...document.querySelectorAll('[role=img]')].filter(e => !e.getAttribute('aria-label')).length") == 0
    assert (
        page.evaluate(
            "[...document.querySelectorAll('button, a, select, input')].filter(e => !(e.innerText || e.getAttribute('aria-label') || e.labels?.length)).length"
        )
        == 0
    )
    assert contrast(page) >= 4.5


def contrast(page: Any) -> float:
    """The least contrast of text on what lies behind it, by WCAG's formula, over all elements with text of their own."""
    return float(
        page.evaluate("""() => {
      const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
      const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const behind = (e) => { for (let n = e; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c.length && (c[3] ?? 1) > 0.99) return c.slice(0, 3); } return [255, 255, 255]; };
      let least = 21;
      for (const e of document.querySelectorAll('main *, nav *')) {
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.closest('.stale') || e.tagName === 'OPTION') continue;
        const [a, b] = [light(parse(getComputedStyle(e).color).slice(0, 3)), light(behind(e))];
        least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
      }
      return least;
    }""")
    )


def test_a_keyboard_reaches_a_job_and_its_log(page: Any, address: str) -> None:
    shown(page, address, "#/jobs")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "payments-stream":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Driver and executors").wait_for()
    page.get_by_role("button", name="Show the last 200 lines").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Write Success!").wait_for()


def test_a_server_that_goes_away_is_told_and_the_figures_stay(page: Any, address: str) -> None:
    shown(page, address, "#/jobs")
    page.get_by_text("live, ").wait_for()
    page.route("**/api/**", lambda route: route.fulfill(status=401, body='{"error": "You are not logged in."}'))
    page.reload()
    page.get_by_text("Your session has ended").wait_for(timeout=15_000)
    page.errors.clear()  # the browser's own lines for the 401


def test_what_is_seen_less_often_is_drawn_when_it_is_asked_for(page: Any, address: str) -> None:
    shown(page, address, ROUTES[2])
    course = page.get_by_role("region", name="Use over time")
    for title in ("Garbage collection", "Shuffle", "Disk", "Disk, over a minute"):
        course.get_by_text(title, exact=True).wait_for()
    executor = page.get_by_role("article", name="spark-job-4f1c9a2e07-1-exec-1")
    executor.locator("canvas").nth(1).wait_for()
    assert executor.locator("canvas").count() == 2, "CPU and memory"
    executor.get_by_text("Garbage collection, shuffle, disk").click()
    executor.locator("canvas").nth(5).wait_for()
    assert executor.get_by_role("img", name="Shuffle, read").count() == 1


def test_two_hundred_jobs_of_twenty_executors(page: Any, address: str, figures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = figures.snapshot

    def large() -> dict[str, Any]:
        now = time.time()
        return {**made(), "applications": [figures.application(f"job-{n:03d}", "running", now - now % 10, 20) for n in range(200)]}

    monkeypatch.setattr(figures, "snapshot", large)
    began = time.monotonic()
    page.goto(f"{address}#/jobs")
    page.get_by_role("link", name="job-199").wait_for(timeout=60_000)
    listed = time.monotonic() - began
    page.goto(f"{address}#/jobs/spark-jobs/job-100")
    page.get_by_role("article", name="job-100-exec-20").wait_for(timeout=60_000)
    print(f"list after {listed:.1f} s, job after {time.monotonic() - began - listed:.1f} s")
    assert listed < LARGE
    assert time.monotonic() - began - listed < LARGE

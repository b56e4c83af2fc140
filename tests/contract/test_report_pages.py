"""Test the pages of `status --html` and `plan --html` in a browser: they need nothing else."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.sync_api import sync_playwright

from infisical_iac.monitoring.report import status_page
from tests.browser.visit import PROGRAM
from tests.unit.pages import MANY, build_plan_page, build_report, build_rows
from tests.unit.people_deployment import PEOPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

_PHONE, _DESK = 360, 1024
# The contrast that WCAG 2.1 (AA) asks of text.
_LEAST_CONTRAST = 4.5
_ACTIVE = "script, link, img, iframe, object, [onload], [onclick]"
# Returns the elements with text of their own that have the least contrast, with the ratio.
_CONTRASTS = """() => {
  const parse = color => (color.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(each => each / 255)
    .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, n) => sum + each * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 0, 255];
  };
  return [...document.body.querySelectorAll("*")]
    .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .filter(each => !each.closest("svg"))
    .map(each => {
      const pair = [light(parse(getComputedStyle(each).color)), light(behind(each))];
      const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
      return [each.outerHTML.slice(0, 80), ratio];
    })
    .sort((one, other) => one[1] - other[1]).slice(0, 3);
}"""
# Returns the elements that are wider than the page, except those inside a part that scrolls.
_TOO_WIDE = """() => [...document.body.querySelectorAll("*")]
  .filter(each => !each.parentElement.closest(".scroll"))
  .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
  .map(each => each.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM)
        with closing(browser):
            yield browser


@pytest.fixture(scope="module", params=["status", "many services", "plan"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a page."""
    text = PEOPLE.replace("services:", f"services:{MANY}") if "many" in request.param else PEOPLE
    page = (
        build_plan_page()
        if request.param == "plan"
        else status_page(build_report(text), build_rows())
    )
    written: Path = tmp_path_factory.mktemp("page") / "page.html"
    written.write_text(page, "utf-8")
    return written


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    with closing(page):
        yield page


def test_a_page_opens_without_an_error_and_asks_nobody(page: Page, file: Path) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(error.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    assert page.locator("h1").inner_text().endswith("hetzner")
    assert (complaints, requests) == ([], [file.as_uri()])
    assert page.locator(_ACTIVE).count() == 0


@pytest.mark.parametrize("width", [_PHONE, _DESK])
def test_a_page_is_no_wider_than_the_screen(page: Page, file: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 640})
    page.goto(file.as_uri())
    size: dict[str, Any] = page.evaluate(
        "() => ({shown: document.documentElement.clientWidth,"
        " whole: document.documentElement.scrollWidth})"
    )
    assert size == {"shown": width, "whole": width}
    assert page.evaluate(_TOO_WIDE) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("medium", ["screen", "print"])
def test_text_has_enough_contrast(
    page: Page, file: Path, scheme: Literal["light", "dark"], medium: Literal["screen", "print"]
) -> None:
    page.emulate_media(color_scheme=scheme, media=medium)
    page.goto(file.as_uri())
    worst = page.evaluate(_CONTRASTS)
    assert worst[0][1] >= _LEAST_CONTRAST, worst
    back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    is_dark = back == "rgb(22, 22, 22)"
    assert is_dark == (scheme == "dark" and medium == "screen")


def test_a_page_prints(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 1

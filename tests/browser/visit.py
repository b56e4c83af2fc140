"""One visit of an instance in headless Chromium, which checks the certificate itself."""

import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import (
    CDPSession,
    ConsoleMessage,
    Error,
    Page,
    ViewportSize,
    sync_playwright,
)

from tests.browser.trust import home
from tests.staging.shell import StagingError

PROGRAM = "/usr/bin/chromium-headless-shell"
STANDIN = "h1:has-text('stand-in')"
# Infisical's page asks for the e-mail address first; before an administrator is set up, so does
# another page, at another path.
SIGN_IN = "input[type=email]"
SIGN_IN_PATH = "/login"
_SIZE: ViewportSize = {"width": 1024, "height": 640}
_MOST_MILLISECONDS = 30_000


class Visit(NamedTuple):
    """Hold what the browser saw.

    `page` is "sign-in" or "stand-in"; `state` is what Chromium thinks of the connection,
    "secure" for a valid certificate; `names` are those of the certificate; `complaints` are what
    the browser's console has of errors in scripts and of things that a policy forbids.
    """

    page: str
    title: str
    state: str
    protocol: str
    issuer: str
    names: tuple[str, ...]
    until: datetime
    complaints: tuple[str, ...]


def visit(url: str, address: str, authority: Path | None, picture: Path | None = None) -> Visit:
    """Open `url`, whose host is taken to be at the IPv4 address `address`.

    `authority`, a PEM file, is trusted besides the public ones; `picture` becomes a screenshot,
    a PNG file. Raises StagingError when the browser refuses the certificate, or finds neither
    Infisical's sign-in page nor the page of the stand-in.
    """
    # A proxy that the environment names would look the host up by itself.
    options = [f"--host-resolver-rules=MAP {urlsplit(url).hostname} {address}", "--no-proxy-server"]
    try:
        with home(authority) as directory, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=PROGRAM, args=options, env={**os.environ, "HOME": str(directory)}
            )
            with closing(browser):
                page = browser.new_page(viewport=_SIZE)
                page.set_default_timeout(_MOST_MILLISECONDS)
                return _look(page, url, picture)
    except Error as error:
        reason = error.message.splitlines()[0]
        raise StagingError(f"Chromium can't show {url}: {reason}") from None


def _look(page: Page, url: str, picture: Path | None) -> Visit:
    complaints = _complaints(page)
    documents = _documents(page.context.new_cdp_session(page))
    page.goto(url)
    shown = _detect_page(page)
    if picture:
        page.screenshot(path=picture)
    seen = documents[0]
    details = seen.get("securityDetails", {})
    return Visit(
        page=shown,
        title=page.title(),
        state=seen["securityState"],
        protocol=details.get("protocol", ""),
        issuer=details.get("issuer", ""),
        names=tuple(details.get("sanList", ())),
        until=datetime.fromtimestamp(details.get("validTo", 0), UTC),
        complaints=tuple(complaints),
    )


def _complaints(page: Page) -> list[str]:
    """A list that errors are put into as they come."""
    errors: list[str] = []

    def record(line: ConsoleMessage) -> None:
        # Infisical's page asks whether somebody is logged in, and the answer is 401.
        if line.type == "error" and not line.text.startswith("Failed to load resource"):
            errors.append(line.text)

    page.on("console", record)
    page.on("pageerror", lambda error: errors.append(error.message))
    return errors


def _documents(devtools: CDPSession) -> list[dict[str, Any]]:
    """A list that the answers to navigations are put into as they come."""
    answers: list[dict[str, Any]] = []

    def record_document(event: dict[str, Any]) -> None:
        if event["type"] == "Document":
            answers.append(event["response"])

    devtools.on("Network.responseReceived", record_document)
    devtools.send("Network.enable")
    return answers


def _detect_page(page: Page) -> str:
    """Return which of the two pages it is, once it is there."""
    page.locator(f"{STANDIN}, {SIGN_IN}").first.wait_for()
    if page.locator(STANDIN).count():
        return "stand-in"
    page.wait_for_url(lambda url: urlsplit(url).path == SIGN_IN_PATH)
    return "sign-in"

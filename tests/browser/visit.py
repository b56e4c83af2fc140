"""Visit an instance in headless Chromium, which checks the certificate itself."""

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
    """The observations of the browser.

    `page` is "sign-in" or "stand-in". `state` is Chromium's verdict on the connection, "secure" for
    a valid certificate. `names` are the names of the certificate. `complaints` are the errors of
    scripts and of violated policies in the browser's console.
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
    """Open `url`, whose host name is resolved to the IPv4 address `address`.

    `authority`, a PEM file, is trusted in addition to the public ones. `picture` is the path of the
    screenshot, a PNG file. Raises StagingError if the browser refuses the certificate, or finds
    neither Infisical's sign-in page nor the page of the stand-in.
    """
    # A proxy in the environment's variables would resolve the host name itself.
    options = [f"--host-resolver-rules=MAP {urlsplit(url).hostname} {address}", "--no-proxy-server"]
    try:
        with home(authority) as directory, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=PROGRAM, args=options, env={**os.environ, "HOME": str(directory)}
            )
            with closing(browser):
                page = browser.new_page(viewport=_SIZE)
                page.set_default_timeout(_MOST_MILLISECONDS)
                return _inspect(page, url, picture)
    except Error as error:
        reason = error.message.splitlines()[0]
        raise StagingError(f"Chromium can't show {url}: {reason}") from None


def _inspect(page: Page, url: str, picture: Path | None) -> Visit:
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
    """Return a list that collects the console's errors as they come."""
    errors: list[str] = []

    def record(line: ConsoleMessage) -> None:
        # Infisical's page asks for the session, and gets a 401.
        if line.type == "error" and not line.text.startswith("Failed to load resource"):
            errors.append(line.text)

    page.on("console", record)
    page.on("pageerror", lambda error: errors.append(error.message))
    return errors


def _documents(devtools: CDPSession) -> list[dict[str, Any]]:
    """Return a list that collects the answers to navigations as they come."""
    answers: list[dict[str, Any]] = []

    def record_document(event: dict[str, Any]) -> None:
        if event["type"] == "Document":
            answers.append(event["response"])

    devtools.on("Network.responseReceived", record_document)
    devtools.send("Network.enable")
    return answers


def _detect_page(page: Page) -> str:
    """Return which of the two pages is shown, once one is there."""
    page.locator(f"{STANDIN}, {SIGN_IN}").first.wait_for()
    if page.locator(STANDIN).count():
        return "stand-in"
    page.wait_for_url(lambda url: urlsplit(url).path == SIGN_IN_PATH)
    return "sign-in"

"""Serve the only page for people, which names the stand-in in place of Infisical's login page.

Also serve the script that Infisical's pages load first; it needs neither Redis nor the database.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from starlette.responses import HTMLResponse, Response

from ..web import ANYONE, Call, route

PAGE = Template((Path(__file__).resolve().parent.parent / "page.html").read_text("utf-8"))
# The page runs no script, loads nothing from other sites, and can't be framed.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


@route("GET", "/", ANYONE, transaction=False)
def page(call: Call) -> HTMLResponse:
    settings = call.server.instance.settings()
    text = PAGE.substitute(
        address=escape(call.server.config.site_url),
        administrator="set up" if settings["initialized"] else "not set up yet",
        sign_up="open" if settings["allowSignUp"] else "closed",
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})


@route("GET", "/runtime-ui-env.js", ANYONE, transaction=False)
def environment(call: Call) -> Response:
    script = "window.__INFISICAL_RUNTIME_ENV__ = Object.freeze({});"
    return Response(script, media_type="application/javascript")

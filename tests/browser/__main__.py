"""`python -m tests.browser`: open a deployed staging host in Chromium, and take a screenshot."""

import argparse
import sys
from pathlib import Path

from tests.browser.visit import Visit, visit
from tests.staging import ingress
from tests.staging.host import StagingHost
from tests.staging.shell import REPOSITORY, StagingError

PICTURE = REPOSITORY / "docs" / "images" / "demo.png"


def main() -> int:
    """Visit the page; return 0 if the browser accepts the certificate and shows the page."""
    arguments = _parser().parse_args()
    host = StagingHost(arguments.host)
    url = f"https://{ingress.name(host)}"
    print(f"==> Opening {url} in Chromium", flush=True)
    try:
        seen = visit(url, ingress.address(host), ingress.root(host), arguments.picture)
    except StagingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(describe(seen, arguments.picture))
    return 0


def describe(seen: Visit, picture: Path) -> str:
    """Return a report of the visit, with the path of the screenshot."""
    lines = (
        f"  certificate  {seen.state}, for {', '.join(seen.names)}, by {seen.issuer}, "
        f"until {seen.until:%Y-%m-%d %H:%M} UTC",
        f"  page         {seen.title}, over {seen.protocol}",
        *(f"  complaint    {complaint}" for complaint in seen.complaints),
        f"  picture      {picture}",
    )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.browser", description=__doc__)
    parser.add_argument("--host", default="demo", help="the staging host (default: demo)")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where to put the picture")
    return parser


if __name__ == "__main__":
    sys.exit(main())

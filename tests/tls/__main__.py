"""`python -m tests.tls`: scan the HTTPS of a deployed staging host by testssl.sh."""

import argparse
import sys
from collections.abc import Sequence

from tests.staging import ingress
from tests.staging.host import StagingHost
from tests.staging.shell import StagingError
from tests.tls.scan import Finding, graver, load_accepted, scan


def main() -> int:
    """Print the findings above LOW; return 0 if all of them are accepted."""
    parser = argparse.ArgumentParser(prog="python -m tests.tls", description=__doc__)
    parser.add_argument("--host", default="demo", help="the staging host (default: demo)")
    host = StagingHost(parser.parse_args().host)
    try:
        findings = scan(f"https://{ingress.name(host)}", ingress.address(host), ingress.root(host))
    except StagingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    reasons = load_accepted(internal=True)
    print(describe(findings, reasons))
    return 1 if any(each.id not in reasons for each in graver(findings)) else 0


def describe(findings: Sequence[Finding], reasons: dict[str, str]) -> str:
    """Return a text with the findings above LOW, each with the reason why it is accepted."""
    lines = [
        f"{each.severity:<8} {each.id}: {each.text}\n"
        f"         {reasons.get(each.id, 'NOT ACCEPTED')}"
        for each in graver(findings)
    ]
    return "\n".join([f"{len(findings)} findings, {len(lines)} above LOW", *lines])


if __name__ == "__main__":
    sys.exit(main())

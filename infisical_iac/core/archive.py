"""Build the agent into one file, and name its place on a host."""

import io
from functools import cache
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from infisical_iac import agent
from infisical_iac.agent import PROTOCOL

DIRECTORY = "/usr/local/lib/infisical-iac"


@cache
def path() -> str:
    """Return the agent's path on a host, which changes with the agent's content."""
    return f"{DIRECTORY}/agent-{PROTOCOL}-{sha256(build()).hexdigest()[:12]}.pyz"


# The beginning of the agent. An old Python must be able to parse it, to report that it is too old.
MAIN = """\
import json, sys

if sys.version_info < (3, 11):
    refused = {
        "code": "refused.python",
        "message": "the host's Python is {}.{}, and 3.11 is needed".format(*sys.version_info[:2]),
        "remedy": "use one of the supported systems, which have it",
    }
    print(json.dumps({"protocol": PROTOCOL, "error": refused}))
else:
    from infisical_iac.agent.serving import main

    main()
"""


@cache
def build() -> bytes:
    """Return the agent as one zip file for Python; the same source gives the same bytes."""
    folder = Path(agent.__file__).parent
    sources = {f"infisical_iac/agent/{each.name}": each for each in folder.glob("*.py")}
    texts = {name: file.read_bytes() for name, file in sources.items()}
    texts["infisical_iac/__init__.py"] = b""
    texts["__main__.py"] = MAIN.replace("PROTOCOL", str(PROTOCOL)).encode()
    buffer = io.BytesIO()
    # Compressed bytes would depend on the version of zlib.
    with ZipFile(buffer, "w", ZIP_STORED) as file:
        for name in sorted(texts):
            member = ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16
            file.writestr(member, texts[name])
    return buffer.getvalue()

"""`python -m tests.e2e`: build or load all images and collect all wheels that these tests need."""

import sys

from tests.e2e.upgrading import older_postgres
from tests.staging import engine, stack, wheels
from tests.staging.host import host_image
from tests.staging.operator import operator_image
from tests.staging.shell import StagingError

# The release of Python in Debian 13, which an operator's machine has.
_DEBIAN_PYTHON = (3, 13)

try:
    engine.ensure()
    stack.ensure()
    host_image("trixie")
    host_image("bookworm")
    older_postgres()
    operator_image()
    wheels.wheelhouse(_DEBIAN_PYTHON)
except StagingError as error:
    sys.exit(f"error: {error}")

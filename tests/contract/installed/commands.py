"""Run commands in the working directory, and print their results as JSON.

`python commands.py` reads a list of commands as JSON from standard input. It is run by the
environment of an installed wheel, where nothing of this checkout can be imported.
"""

import json
import sys

from click.testing import CliRunner

from infisical_iac.cli.main import main


def _run(arguments: list[str]) -> list[object]:
    done = CliRunner().invoke(main, arguments)
    return [done.exit_code, done.stderr, repr(done.exception), done.stdout]


print(json.dumps([_run(each) for each in json.load(sys.stdin)]))

"""Test what a script lets through of what programs say."""

import subprocess
from pathlib import Path

from infisical_iac.core.rendering import script_file

_SAID = "it starts\nAUTH_SECRET=not-a-secret is set\nthe key is not$(a)key\nit ends\n"


def _let_through(root: Path) -> str:
    text = f"root={root}\n{script_file('secrecy')}\nwithout_secrets\n"
    done = subprocess.run(
        ["sh", "-euc", text], input=_SAID, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_no_line_with_a_key_is_let_through(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    # One key ends without a newline, the other with an empty line.
    (keys / "auth_secret").write_text("not-a-secret")
    (keys / "encryption_key").write_text("not$(a)key\n\n")
    assert _let_through(tmp_path) == "it starts\nit ends\n"


def test_nothing_is_let_through_where_no_key_is_known(tmp_path: Path) -> None:
    assert _let_through(tmp_path) == ""

"""Test that lines with keys are removed from the output of programs."""

import json
import subprocess
from pathlib import Path

import pytest

from infisical_iac.agent.files import lines_without_keys
from infisical_iac.agent.runner import Runner
from infisical_iac.core.rendering import script_file

_OUTPUT = "it starts\nAUTH_SECRET=not-a-secret is set\nthe key is not$(a)key\nit ends\n"


def _filter(host: Path, output: str = _OUTPUT) -> str:
    """Return the output without keys, as the scripts and the agent remove them."""
    root = _keys(host).parent
    text = f"root={root}\n{script_file('secrecy')}\nwithout_secrets\n"
    done = subprocess.run(
        ["sh", "-euc", text], input=output, check=True, capture_output=True, text=True
    )
    assert lines_without_keys(Runner(host), output.splitlines()) == done.stdout.splitlines()
    return done.stdout


def _keys(host: Path) -> Path:
    keys = host / "etc/infisical/keys"
    keys.mkdir(parents=True, exist_ok=True)
    return keys


def test_lines_with_a_key_are_removed(tmp_path: Path) -> None:
    keys = _keys(tmp_path)
    # One key ends without a newline, the other with an empty line.
    (keys / "auth_secret").write_text("not-a-secret")
    (keys / "encryption_key").write_text("not$(a)key\n\n")
    assert _filter(tmp_path) == "it starts\nit ends\n"


def test_all_output_is_removed_if_no_key_is_known(tmp_path: Path) -> None:
    assert _filter(tmp_path) == ""


@pytest.mark.parametrize("key", ['not"a"secret', "not\\a\\secret", "not\ta\tsecret", 'n&o<t>"a\\'])
def test_lines_with_a_key_in_json_are_removed(tmp_path: Path, key: str) -> None:
    """Infisical's log is JSON. Go, which Docker is written in, escapes &, < and > as well."""
    keys = _keys(tmp_path)
    (keys / "given_smtp_password").write_text(f"{key}\n")
    by_node = json.dumps({"msg": f"login failed with {key}"})
    by_go = by_node
    for sign in "&<>":
        by_go = by_go.replace(sign, f"\\u{ord(sign):04x}")
    output = f"it starts\n{key}\n{by_node}\n{by_go}\nit ends\n"
    assert _filter(tmp_path, output) == "it starts\nit ends\n"

"""Test the findings on single entries of a file, and that no finding shows a value."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.dotenv import GRAMMARS, read
from infisical_iac.migrate.findings import disagreements, is_withheld, of_entries, safe_name, trim
from infisical_iac.migrate.model import BLOCKING
from infisical_iac.migrate.plan_file import describe_cut_values
from infisical_iac.migrate.planning import make
from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.trees import WORKSPACE, plant


def kinds(text: str, grammar: str = "dotenv") -> dict[str, set[str]]:
    """Return the kinds of the findings by key."""
    output: dict[str, set[str]] = {}
    for each in of_entries(read(text.encode(), grammar)):
        output.setdefault(each.key, set()).add(each.kind)
    return output


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('A="  fake"', "trimmed"),
        ('A="fake\\n\\n"', "trimmed"),
        ('A="\ufefffake"', "trimmed"),
        ('A="\u00a0"', "trimmed"),
        ("A=fa${NAME}ke", "literal-reference"),
        ("A=${prod.db.PASSWORD}", "literal-reference"),
        ("A=\\${user@host-1}", "literal-reference"),
        ("A=fa\0ke", "nul"),
        ("A=", "empty"),
        ("A='" + "x" * 131_072 + "'", "long-value"),
        ("INFISICAL_CLIENT_SECRET=fake", "bootstrap-key"),
        ("NODE_ENV=production", "bootstrap-key"),
        ("PATH=/bin", "reserved-name"),
        ("NODE_OPTIONS=--inspect", "reserved-name"),
        ("PYTHONPATH=src", "reserved-name"),
        ("LD_PRELOAD=x.so", "reserved-name"),
        ("GIT_CONFIG_COUNT=1", "reserved-name"),
        ("https_proxy=http://proxy.example.com", "reserved-name"),
        ("A.B=fake", "odd-name"),
        ("1A=fake", "odd-name"),
        ("A" * 501 + "=fake", "long-name"),
        ("PORT=3000", "plain-configuration"),
        ("NEXT_PUBLIC_ANALYTICS_ID=G-4F0A9C7E1B", "plain-configuration"),
    ],
)
def test_an_entry_has_its_finding(text: str, kind: str) -> None:
    assert kind in set().union(*kinds(text).values())


@pytest.mark.parametrize(
    "text",
    [
        'A="fake\\n"',
        "A=\u200bfake",
        'A="\x1ffake\x85"',
        "A=$NAME",
        "A=${NAME:-fake}",
        "A=${ NAME }",
        "A=${{NAME}}",
        "A='" + "x" * 131_068 + "'",
        "A" * 500 + "=fake",
        "PATHS=fake-secret",
        "GIT_TOKEN=fake-secret",
        "HOMEPAGE=fake-secret",
    ],
)
def test_an_entry_that_arrives_unchanged_has_no_finding(text: str) -> None:
    assert kinds(text) == {}


@pytest.mark.parametrize(
    ("text", "grammar"), [("A/B=fake", "node-env-file"), ("A B=fake", "node-env-file")]
)
def test_a_name_that_infisical_refuses_blocks(text: str, grammar: str) -> None:
    found = list(of_entries(read(text.encode(), grammar)))
    assert [each.kind for each in found if each.kind in BLOCKING] == ["refused-name"]


def test_a_name_that_may_be_a_piece_of_a_value_is_not_shown() -> None:
    found = list(of_entries(read(b"fake secret piece=\n", "node-env-file")))
    assert found
    assert {each.key for each in found} == {""}


def test_a_reference_within_the_file_is_resolved_and_does_not_block() -> None:
    text = "A=fake-secret\nB=x-${A}\n"
    assert kinds(text, "dotenv-expand") == {"B": {"resolved"}}
    assert kinds(text, "dotenv") == {"B": {"literal-reference"}}
    assert "resolved" not in BLOCKING
    assert "literal-reference" in BLOCKING


@pytest.mark.parametrize("grammar", ["dotenv-expand", "next", "python-dotenv", "compose", "shell"])
def test_an_undefined_reference_is_one_finding(grammar: str) -> None:
    reading = read(b"A=1\nB=x-${A}\nC=x-${NOWHERE}\n", grammar)
    assert [each.kind for each in reading.findings if each.line == 3][:1] == ["undefined-reference"]
    assert [(each.line, each.kind) for each in of_entries(reading) if each.line > 1] == [
        (2, "resolved")
    ]


def test_the_last_of_two_entries_counts() -> None:
    found = list(of_entries(read(b"A=\nA=${B}\n", "dotenv")))
    assert [(each.line, each.kind) for each in found] == [(2, "literal-reference")]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("  padded  ", "padded"),
        ("\nx", "x"),
        ("x\n\n", "x\n"),
        ("x\r\n", "x\n"),
        ("   ", ""),
        ("\n", "\n"),
        ("x\u2028", "x"),
        ("x\x85", "x\x85"),
        ("x\x1f", "x\x1f"),
    ],
)
def test_values_are_trimmed_as_the_server_trims_them(value: str, stored: str) -> None:
    assert trim(value) == stored


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("c2VjcmV0cGllY2VzZWNyZXQ", ""),
        ("dG9rZW5zZWNvbmRsaW5l", "="),
        ("dG9rZW5zZWNvbmRsaW5l", "\r"),
        ("ZmFrZQ", "="),
        ("fakefakefake", ""),
    ],
)
def test_a_name_that_may_be_base64_is_not_shown_and_blocks(key: str, value: str) -> None:
    data = f"KEY=MIIEfakefakefake\n{key}={value}\n".encode()
    assert safe_name(key, value) == ""
    found = list(of_entries(read(data, "compose")))
    assert (2, "refused-name") in [(each.line, each.kind) for each in found]
    assert key not in repr(found)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DATABASE", ""),
        ("DATABASE_URL_2", ""),
        ("apiKey", ""),
        ("smtp.password", ""),
        ("oauth2ClientSecret", "fake-secret"),
        ("databasepassword", "fake-secret"),
    ],
)
def test_names_of_keys_are_shown(key: str, value: str) -> None:
    assert safe_name(key, value) == key


@given(st.text(max_size=300), st.sampled_from(GRAMMARS))
def test_findings_on_any_file_show_no_value(text: str, grammar: str) -> None:
    secret = "Obviously-Fake-Secret-Value"
    data = f"{text}\nA='{secret}'\n".encode(errors="replace")
    reading = read(data, grammar)
    others = [each for each in GRAMMARS if each != grammar]
    output = [*of_entries(reading), *disagreements(data, reading, others)]
    assert secret not in repr(output)


def test_names_that_the_loaders_withhold_are_withheld() -> None:
    vectors = Path(__file__).parents[3] / "loaders" / "vectors.json"
    names = json.loads(vectors.read_text("utf-8"))["withheldNames"]
    assert [name for name in names["withheld"] if not is_withheld(name)] == []
    assert [name for name in names["kept"] if is_withheld(name)] == []


def test_a_secret_that_is_cut_at_a_hash_must_be_decided(tmp_path: Path) -> None:
    files = {
        "backend/package.json": '{"dependencies": {"dotenv": "17"}}',
        "backend/.env": "SMTP_PASSWORD=fake#prod-word\nCOLOR=a#b\n",
    }
    (source,) = scan_all([plant(tmp_path, files)], WORKSPACE)
    found = {each.key: each for each in source.findings if each.kind.startswith("cut-")}
    assert {key: each.blocking for key, each in found.items()} == {
        "SMTP_PASSWORD": True,
        "COLOR": False,
    }
    assert "4 of 14" in found["SMTP_PASSWORD"].message
    for edit in ("store", "skip"):
        assert f"`decision: {edit}`" in found["SMTP_PASSWORD"].remedy


def test_a_plan_names_the_cut_values_that_are_stored(tmp_path: Path) -> None:
    files = {
        "backend/package.json": '{"dependencies": {"dotenv": "17"}}',
        "backend/.env": "SMTP_PASSWORD=fake#prod-word\nCOLOR=a#b\n",
    }
    sources = scan_all([plant(tmp_path, files)], WORKSPACE)
    plan = make(sources, project="abcde", root=".", key=b"k" * 32)
    (source,) = plan.sources
    assert source.keys["SMTP_PASSWORD"].decision == "undecided"

    def describe(**decisions: str) -> list[str]:
        keys = {
            name: each.model_copy(update={"decision": decisions.get(name, each.decision)})
            for name, each in source.keys.items()
        }
        decided = source.model_copy(update={"keys": keys})
        return [*describe_cut_values(plan.model_copy(update={"sources": (decided,)}))]

    # The decision to make names the undecided value.
    (line,) = describe()
    assert "1 value " in line
    assert "SMTP_PASSWORD" not in line
    (line,) = describe(SMTP_PASSWORD="store")
    assert "2 values " in line
    assert "backend/.env:1 SMTP_PASSWORD, 4 of 14" in line
    (line,) = describe(SMTP_PASSWORD="store", COLOR="skip")
    assert "COLOR" not in line
    assert describe(SMTP_PASSWORD="skip", COLOR="skip") == []

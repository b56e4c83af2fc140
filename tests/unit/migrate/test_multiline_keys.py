"""Test that the pieces of a multi-line key without quotes are one finding, and no entries."""

import pytest

from infisical_iac.dotenv import read
from infisical_iac.migrate.findings import of_entries
from infisical_iac.migrate.model import BLOCKING
from infisical_iac.migrate.multiline_keys import drop_pem_pieces

PEM = "-----BEGIN PRIVATE KEY-----\nRkFLRSBGQUtF\nZmFrZQ==\n-----END PRIVATE KEY-----\n"


def test_pieces_of_a_torn_key_are_not_entries() -> None:
    text = f"A=fake\nKEY={PEM}B=fake\n"
    whole = read(text.encode(), "dotenv")
    assert "ZmFrZQ" in whole.values
    reading = drop_pem_pieces(whole, text.encode())
    assert list(reading.values) == ["A", "KEY", "B"]
    (finding,) = reading.findings
    assert (finding.line, finding.kind, finding.key) == (2, "torn-value", "KEY")
    assert "lines 3 to 5" in finding.message
    assert "torn-value" in BLOCKING


def test_a_torn_key_without_padding_is_reported_as_well() -> None:
    data = b"KEY=-----BEGIN X-----\nRkFL\n-----END X-----"
    reading = drop_pem_pieces(read(data, "dotenv"), data)
    assert (2, "unreadable-line") not in [(each.line, each.kind) for each in reading.findings]
    assert (1, "torn-value") in [(each.line, each.kind) for each in reading.findings]


def test_a_chain_of_certificates_is_one_torn_value() -> None:
    block = "-----BEGIN X-----\r\n  RkFLRSBG==\r\n-----END X-----\r\n"
    data = f"KEY={block}{block}B=fake\r\n".encode()
    assert list(drop_pem_pieces(read(data, "dotenv"), data).values) == ["KEY", "B"]


def test_a_key_in_quotes_is_not_torn() -> None:
    text = f'KEY="{PEM}"\nB=fake\n'
    reading = read(text.encode(), "dotenv")
    assert drop_pem_pieces(reading, text.encode()) is reading


@pytest.mark.parametrize("header", ["{}", '"{}"', '"{}'])
@pytest.mark.parametrize("quoted", ['"{}"', '"\n{}"'])
@pytest.mark.parametrize("grammar", ["dotenv", "python-dotenv", "node-env-file"])
def test_entries_between_a_torn_value_and_another_key_are_kept(
    header: str, quoted: str, grammar: str
) -> None:
    lines = [
        "HEADER=" + header.format("-----BEGIN PRIVATE KEY-----"),
        "DB=fake",
        "EMPTY=",
        "KEY=" + quoted.format(PEM),
        "Z=1\n",
    ]
    data = "\n".join(lines).encode()
    reading = read(data, grammar)
    assert drop_pem_pieces(reading, data).entries == reading.entries


@pytest.mark.parametrize("sign", ["\f", "\x85", "\u2028", "\v", "\x1c"])
def test_lines_are_counted_as_the_parser_counts_them(sign: str) -> None:
    data = f"# {sign * 3} note\nKEY={PEM}B=2\nC=3\nD=4\n".encode()
    assert list(drop_pem_pieces(read(data, "python-dotenv"), data).values) == ["KEY", "B", "C", "D"]


def test_a_name_glued_to_the_end_of_a_torn_key_is_kept_and_blocks() -> None:
    data = f"KEY={PEM}B=fake\n".encode()
    reading = drop_pem_pieces(read(data, "node-env-file"), data)
    assert sorted(reading.values.values()) == ["-----BEGIN PRIVATE KEY-----", "fake"]
    assert (4, "refused-name", "") in [
        (each.line, each.kind, each.key) for each in of_entries(reading)
    ]

"""Test that encrypted files are findings, and pieces of a key without quotes are no entries."""

from pathlib import Path

import pytest
from pyrage import encrypt
from pyrage.x25519 import Identity

from infisical_iac.dotenv import read
from infisical_iac.migrate import planning
from infisical_iac.migrate.find import is_env, walk
from infisical_iac.migrate.findings import drop_pem_pieces, find_encryption, of_entries
from infisical_iac.migrate.model import BLOCKING
from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.modes import KEY
from tests.unit.migrate.trees import WORKSPACE, node, plant

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
@pytest.mark.parametrize(
    "grammar", ["dotenv", "python-dotenv", "node-env-file", "node-env-file-22"]
)
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


_BYTES = {
    "age": encrypt(b"A=obviously-fake\n" * 200, [Identity.generate().to_public()]),
    "PGP": b"-----BEGIN PGP MESSAGE-----\n\nfake\n",
    "git-crypt": b"\0GITCRYPT\0fake",
    "Ansible Vault": b"$ANSIBLE_VAULT;1.1;AES256\n6661\n",
    "OpenSSL": b"U2FsdGVkX1fake\n",
    "Laravel": b"eyJpdiI6ImZha2UifQ==",
    "SOPS": b"# c\nA=ENC[AES256_GCM,data:fake]\nsops_version=3\n",
    "dotenv-vault": b'# .env.vault\nDOTENV_VAULT_PRODUCTION="fake"\n',
    "dotenvx": b'#/-- public key\nDOTENV_PUBLIC_KEY="03fake"\nA="encrypted:BFfake"\n',
}


@pytest.mark.parametrize("program", _BYTES)
def test_an_encrypted_file_is_recognized_by_its_bytes(program: str) -> None:
    assert find_encryption(".env", _BYTES[program]) == program


@pytest.mark.parametrize("name", [".env", ".env.enc", ".env.vault", ".env.age", "vault.env"])
def test_a_plain_file_is_not_encrypted_by_any_name(name: str) -> None:
    """A plain file that is taken for an encrypted one would never be migrated."""
    assert find_encryption(name, b"A=obviously-fake\nB=encrypted\nC=age\n") == ""


def test_a_file_with_unknown_bytes_is_encrypted_only_by_its_name() -> None:
    assert find_encryption(".env.gpg", b"\x85\x01\x0c\x03fake")
    assert find_encryption(".env", b"\x85\x01\x0c\x03fake") == ""


@pytest.mark.parametrize("end", ["", "-2", ".tar.age", ".tar.age.part"])
def test_an_archive_of_clean_is_not_an_env_file(end: str, tmp_path: Path) -> None:
    name = f".env-archive-20260101T000000Z{end}"
    plant(tmp_path, {name: "fake", "backend/.env": "A=b\n"})
    assert not is_env(name)
    assert walk(tmp_path) == ["backend/.env"]


def test_an_encrypted_copy_is_one_note_and_no_decision(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "backend/package.json": node("vite"),
            "backend/.env.production": "A=obviously-fake\n",
            "backend/.env.example": "A=\n",
        },
    )
    (tmp_path / "backend" / ".env.production.age").write_bytes(_BYTES["age"])
    source = next(s for s in scan_all([tmp_path], WORKSPACE) if s.path.endswith(".age"))
    (finding,) = source.findings
    assert (finding.kind, finding.blocking, finding.line) == ("encrypted-file", False, 0)
    assert "age" in finding.message
    plan = planning.make([source], project="abcde", root=".", key=KEY)
    assert [(each.decision, each.keys) for each in plan.sources] == [("skip", {})]
    again = planning.make([source], project="abcde", root=".", key=KEY, earlier=plan)
    assert again == plan


def test_an_encrypted_file_that_a_loader_reads_is_one_decision(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/package.json": node("dotenv")})
    (tmp_path / "backend" / ".env").write_bytes(_BYTES["git-crypt"] + b"\n" * 80)
    (source,) = scan_all([tmp_path], WORKSPACE)
    (finding,) = source.findings
    assert (finding.kind, finding.blocking) == ("unreadable-file", True)
    assert "git-crypt" in finding.message

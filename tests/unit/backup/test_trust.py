"""Test that a kit is trusted only by the fingerprint of the key that signed it."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyrage.x25519 import Identity

from infisical_iac.backup import kit_host, kit_keys, restore_deploy
from infisical_iac.backup.kit import Kit, render_sheet, seal
from infisical_iac.backup.kit_host import signing_key
from infisical_iac.backup.kit_keys import KnownFingerprints, parse_recipient
from infisical_iac.cli import backup
from infisical_iac.cli.main import main
from infisical_iac.core import lock
from infisical_iac.core.errors import FileError
from tests.unit.backup.kits import FILES, FORGER, KEY, SIGNER, kit
from tests.unit.settings_of import settings_of

_FORGERS = kit_keys.compute_fingerprint(FORGER.public_key())
_OTHER = f"SHA256:{'x' * 43}"


def test_the_fingerprint_equals_the_output_of_ssh_keygen(tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_bytes(KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    output = subprocess.run(["ssh-keygen", "-l", "-f", file], capture_output=True, text=True)
    assert output.stdout.split()[1] == SIGNER


@pytest.mark.parametrize(
    "known",
    [KnownFingerprints(SIGNER), KnownFingerprints(setting=SIGNER), KnownFingerprints(own=SIGNER)],
)
def test_a_kit_of_the_known_key_is_accepted_without_a_question(known: KnownFingerprints) -> None:
    assert kit_keys.check_signer(SIGNER, known) is False


@pytest.mark.parametrize(
    "known",
    [KnownFingerprints(_OTHER), KnownFingerprints(setting=_OTHER), KnownFingerprints(own=_OTHER)],
)
def test_a_kit_of_another_key_is_refused(known: KnownFingerprints) -> None:
    with pytest.raises(FileError, match=f"signed by {SIGNER}, and .* is {_OTHER}: somebody else"):
        kit_keys.check_signer(SIGNER, known)


def test_the_option_takes_precedence_over_setting_and_host() -> None:
    """The option is needed after a new signing key, or on a host that was deployed again."""
    assert (
        kit_keys.check_signer(SIGNER, KnownFingerprints(SIGNER, setting=_OTHER, own=_OTHER))
        is False
    )
    assert kit_keys.check_signer(SIGNER, KnownFingerprints(setting=SIGNER, own=_OTHER)) is False


def test_the_operator_is_asked_only_if_no_fingerprint_is_known() -> None:
    assert kit_keys.check_signer(SIGNER, KnownFingerprints()) is True
    assert SIGNER in kit_keys.trust_question(SIGNER)


def test_an_unsigned_kit_is_accepted_only_with_the_option() -> None:
    with pytest.raises(FileError, match=r"has no signature.*--accept-unsigned-kit"):
        kit_keys.check_signer("", KnownFingerprints(own=SIGNER))
    assert kit_keys.check_signer("", KnownFingerprints(own=SIGNER, unsigned=True)) is False
    with pytest.raises(FileError, match="leave out --fingerprint"):
        kit_keys.check_signer("", KnownFingerprints(SIGNER, unsigned=True))


def test_a_kit_that_a_restore_would_refuse_is_not_made() -> None:
    kit_keys.refuse_another(SIGNER, setting="")
    kit_keys.refuse_another(SIGNER, setting=SIGNER)
    with pytest.raises(FileError, match="'recovery_fingerprint'"):
        kit_keys.refuse_another(SIGNER, setting=_OTHER)


class _Restoring:
    """Run `restore --kit` on a fake host, up to its first change of the host."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._identity = Identity.generate()
        self._directory = directory
        self.own = ""
        self.settings: dict[str, Any] = {}
        self.begun: list[dict[str, str]] = []
        host = SimpleNamespace(name="one", data=SimpleNamespace(dict=dict))
        # Importing the real module would let pyinfra patch the whole process.
        module = SimpleNamespace(connect=partial(_connect, host))
        monkeypatch.setitem(sys.modules, "infisical_iac.core.inventory", module)
        monkeypatch.setattr(
            "infisical_iac.core.settings.load", lambda _: settings_of(**self.settings)
        )
        monkeypatch.setattr(lock, "take", lambda *_, **__: None)
        monkeypatch.setattr(kit_host, "signer", lambda: self.own)
        monkeypatch.setattr(restore_deploy, "undo", lambda *_, **__: None)
        monkeypatch.setattr(kit_host, "remember", lambda *_: None)
        monkeypatch.setattr(
            backup, "_restore", lambda _, source, *__, **___: self.begun.append(source.files)
        )

    def write(self, text: str) -> None:
        (self._directory / "kit.txt").write_text(text)

    def seal(self, made: Kit, key: Any = KEY) -> str:
        return seal(made, [parse_recipient(str(self._identity.to_public()))], key)

    def forge(self, **values: object) -> str:
        """Return a forged sheet, as anybody with the recipient's public key can make it."""
        content = kit().model_dump(mode="json") | values
        data = gzip.compress(json.dumps(kit_keys.sign(content, FORGER)).encode())
        armor = pyrage.encrypt(data, [self._identity.to_public()], armored=True).decode()
        return render_sheet(kit(), armor, SIGNER)

    def seal_unsigned(self, **values: object) -> str:
        """Return a kit in the earlier format, which has no signature."""
        content = kit().model_dump(mode="json") | {"kit": 1} | values
        data = gzip.compress(json.dumps(content).encode())
        return pyrage.encrypt(data, [self._identity.to_public()], armored=True).decode()

    def run(self, *options: str, answer: str = "") -> Result:
        identity = self._directory / "identity.txt"
        identity.write_text(f"{self._identity}\n")
        given = ("--kit", str(self._directory / "kit.txt"), "--identity", str(identity))
        return CliRunner().invoke(main, ["restore", *given, *options], input=answer)


@contextmanager
def _connect(
    host: object, _: str, *, check: Callable[[list[object]], None], **_options: bool
) -> Iterator[object]:
    check([host])
    yield host


@pytest.fixture
def restoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Restoring:
    """A restore onto a bare host from a kit that the deployment signed."""
    made = _Restoring(tmp_path, monkeypatch)
    made.write(made.seal(kit()))
    return made


_FORGED_FILES = {
    "path traversal": {"../cron.d/x": "* * * * * root true\n"},
    "absolute path": {"/etc/cron.d/x": "* * * * * root true\n"},
    "extra file": {"backup/backup.conf": "KEEP=x\n"},
    "shell in a target's file": {"backup/local.env": "touch /tmp/forged\n"},
    "planted secret": {"keys/auth_secret": "fake-auth-secret-of-a-forger"},
}


@pytest.mark.parametrize("name", _FORGED_FILES)
@pytest.mark.parametrize("known", ["given", "setting", "own"])
def test_no_file_of_a_forged_kit_is_placed(restoring: _Restoring, name: str, known: str) -> None:
    """The kit is encrypted for the right recipient, but signed by another deployment's key."""
    restoring.write(restoring.forge(files={**FILES, **_FORGED_FILES[name]}))
    if known == "own":
        restoring.own = SIGNER
    if known == "setting":
        restoring.settings = {"recovery_fingerprint": SIGNER}
    done = restoring.run(*(["--fingerprint", SIGNER] if known == "given" else []), answer="y\n")
    assert (done.exit_code, restoring.begun) == (1, [])
    refused = "signed by another" if name == "planted secret" else "the kit"
    assert refused in done.output.replace(f"signed by {_FORGERS}", "signed by another")


@pytest.mark.parametrize("name", _FORGED_FILES)
def test_an_unsigned_kit_needs_the_option_and_wellformed_files(
    restoring: _Restoring, name: str
) -> None:
    restoring.write(restoring.seal_unsigned(files={**FILES, **_FORGED_FILES[name]}))
    assert restoring.run("--yes").exit_code == 1
    accepted = restoring.run("--yes", "--accept-unsigned-kit")
    # The option accepts a kit whose only fault is that it has no signature.
    assert accepted.exit_code == (0 if name == "planted secret" else 1)
    assert len(restoring.begun) == (1 if name == "planted secret" else 0)


@pytest.mark.parametrize(
    ("options", "answer"), [([], ""), ([], "n\n"), (["--yes"], ""), (["--yes"], "y\n")]
)
def test_no_file_of_a_kit_with_an_unknown_signer_is_placed(
    restoring: _Restoring, options: list[str], answer: str
) -> None:
    done = restoring.run(*options, answer=answer)
    assert (done.exit_code, restoring.begun) == (1, [])
    assert SIGNER in done.output
    assert "--fingerprint" in done.output


def _by_option(restoring: _Restoring) -> Result:
    return restoring.run("--yes", "--fingerprint", SIGNER)


def _by_setting(restoring: _Restoring) -> Result:
    restoring.settings = {"recovery_fingerprint": SIGNER}
    return restoring.run("--yes")


def _by_host(restoring: _Restoring) -> Result:
    restoring.own = SIGNER
    return restoring.run("--yes")


def _by_answer(restoring: _Restoring) -> Result:
    return restoring.run(answer="y\n")


@pytest.mark.parametrize("vouched", [_by_option, _by_setting, _by_host, _by_answer])
def test_a_kit_of_a_known_key_is_placed(
    restoring: _Restoring, vouched: Callable[[_Restoring], Result]
) -> None:
    done = vouched(restoring)
    assert (done.exit_code, restoring.begun) == (0, [FILES]), done.output


def test_the_question_names_the_key_of_the_kit_and_not_the_one_on_its_page(
    restoring: _Restoring,
) -> None:
    restoring.write(restoring.forge())
    output = restoring.run(answer="n\n").output
    assert _FORGERS in output
    assert SIGNER not in output


def test_a_malformed_fingerprint_is_refused(restoring: _Restoring) -> None:
    done = restoring.run("--fingerprint", "SHA256:short")
    assert "--fingerprint" in done.output
    assert "SHA256:" in done.output
    assert (done.exit_code, restoring.begun) == (1, [])


@pytest.mark.parametrize("option", [["--fingerprint", SIGNER], ["--accept-unsigned-kit"]])
def test_options_about_a_kit_need_a_kit(monkeypatch: pytest.MonkeyPatch, option: list[str]) -> None:
    monkeypatch.setitem(
        sys.modules, "infisical_iac.core.inventory", SimpleNamespace(connect=_connect)
    )
    done = CliRunner().invoke(main, ["restore", *option])
    assert "--kit" in done.output
    assert done.exit_code == 1


def test_a_host_without_a_signing_key_makes_no_kit() -> None:
    files = {path: text for path, text in FILES.items() if path != kit_keys.SIGNING_KEY}
    with pytest.raises(FileError, match="`infisical-iac apply` makes it"):
        signing_key(kit(files))
    assert signing_key(kit()).private_bytes_raw() == KEY.private_bytes_raw()


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "x" * 64])
def test_a_malformed_signing_key_is_refused(text: str) -> None:
    with pytest.raises(FileError, match="holds no key") as refused:
        kit_keys.parse_signing_key(text)
    assert not text or text not in str(refused.value)

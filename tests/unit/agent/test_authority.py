"""Test the certificates of a cluster's services, which openssl makes in a directory."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from infisical_iac.agent import authority
from infisical_iac.agent.authority import DueFile
from infisical_iac.agent.runner import Runner
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import answer

_FILES = {f"tls/{name}-{number}.pem" for name in authority.SERVICES for number in (1, 2, 3)}


class Authority:
    """A leader's `/etc/infisical`, for a cluster with the given services."""

    def __init__(self, host: Path, services: Sequence[str] = authority.SERVICES) -> None:
        self.runner = Runner(host)
        self.root = self.runner.path("/etc/infisical")
        self.services = services

    @contextmanager
    def _patched(self, days: int = 0) -> Iterator[None]:
        """Let certificates end a number of days earlier, and limit them to the services."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(authority, "SERVICES", self.services)
            patched.setattr(authority, "LEAF_DAYS", authority.LEAF_DAYS - days)
            yield

    def check(self) -> list[DueFile]:
        with self._patched():
            return answer(question(authority.check), self.runner)

    def make(self, days: int = 0) -> None:
        with self._patched(days):
            authority.make(self.runner)

    def text(self, file: str) -> str:
        command = ["openssl", "x509", "-noout", "-text", "-in", str(self.root / file)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def verifies(self, file: str, *options: str) -> bool:
        command = ["openssl", "verify", *options, "-CAfile", str(self.root / "tls/ca.crt")]
        done = subprocess.run([*command, str(self.root / file)], capture_output=True)
        return done.returncode == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """All certificates, as the first run makes them; tests don't change them."""
    made = Authority(tmp_path_factory.mktemp("authority"))
    lacking = made.check()
    assert {each.file for each in lacking} == _FILES | {"keys/cluster_ca_key"}
    assert {each.why for each in lacking} == {"missing"}
    made.make()
    return made


def test_made_certificates_are_up_to_date_and_private(made: Authority) -> None:
    assert made.check() == []
    files = [each for each in made.root.rglob("*") if each.is_file()]
    assert {str(each.relative_to(made.root)) for each in files} == _FILES | {
        "keys/cluster_ca_key",
        "tls/ca.crt",
    }
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    assert (made.root / "tls").stat().st_mode & 0o777 == 0o700


def test_the_key_of_the_authority_has_the_form_of_the_other_keys(made: Authority) -> None:
    """Recovery kits and the masking of keys in logs expect keys of one line."""
    [line] = (made.root / "keys/cluster_ca_key").read_text().splitlines()
    assert line.replace("+", "").replace("/", "").replace("=", "").isalnum()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        *((f"tls/{name}.pem", name) for name in ("etcd-1", "redis-2", "sentinel-3")),
        ("tls/postgres-3.pem", "haproxy"),
        ("tls/redis-1.pem", "haproxy"),
        ("tls/postgres-1.pem", "localhost"),
    ],
)
def test_a_certificate_has_the_host_names_of_its_service(
    made: Authority, file: str, name: str
) -> None:
    assert made.verifies(file, "-verify_hostname", name, "-purpose", "sslserver")
    assert not made.verifies(file, "-verify_hostname", "postgres-2")


@pytest.mark.parametrize(("name", "client"), [("etcd-1", True), ("postgres-1", True)])
def test_members_and_patroni_log_in_at_etcd(made: Authority, name: str, client: bool) -> None:
    assert made.verifies(f"tls/{name}.pem", "-purpose", "sslclient") == client


@pytest.mark.parametrize("name", ["redis-1", "sentinel-1"])
def test_etcd_refuses_the_certificate_of_redis(made: Authority, name: str) -> None:
    assert not made.verifies(f"tls/{name}.pem", "-purpose", "sslclient")


def test_the_authority_can_not_sign_for_public_names(made: Authority, tmp_path: Path) -> None:
    """Infisical trusts the authority for all addresses that Infisical connects to."""
    key = (made.root / "keys/cluster_ca_key").read_text()
    (tmp_path / "ca.key").write_text(
        f"-----BEGIN PRIVATE KEY-----\n{key}-----END PRIVATE KEY-----\n"
    )
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-noenc", "-keyout", os.devnull, "-out", str(tmp_path / "other.pem")),
            *("-CA", str(made.root / "tls/ca.crt"), "-CAkey", str(tmp_path / "ca.key")),
            *("-subj", "/CN=other", "-addext", "subjectAltName=DNS:secrets.example.com"),
            *("-addext", "basicConstraints=critical,CA:false"),
        ],
        check=True,
        capture_output=True,
    )
    command = ["openssl", "verify", "-CAfile", str(made.root / "tls/ca.crt")]
    done = subprocess.run([*command, str(tmp_path / "other.pem")], capture_output=True, text=True)
    assert "permitted subtree violation" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def redis_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificates of one service only, as openssl takes seconds to read all of them."""
    made = Authority(tmp_path_factory.mktemp("redis"), ("redis",))
    made.make()
    return made


@pytest.fixture
def own(redis_authority: Authority, tmp_path: Path) -> Authority:
    """A copy of the certificates for Redis, which a test can change."""
    subprocess.run(["cp", "-a", f"{redis_authority.runner.root}/.", str(tmp_path)], check=True)
    return Authority(tmp_path, redis_authority.services)


def test_a_certificate_that_ends_within_60_days_is_renewed(own: Authority) -> None:
    (own.root / "tls/redis-2.pem").unlink()
    own.make(days=731 - 59)
    [lacking] = own.check()
    assert (lacking.file, lacking.why) == ("tls/redis-2.pem", "ends")
    before = {each.name: each.read_text() for each in (own.root / "tls").iterdir()}
    own.make()
    after = {each.name: each.read_text() for each in (own.root / "tls").iterdir()}
    assert own.check() == []
    assert {name for name in after if after[name] != before[name]} == {"redis-2.pem"}


def test_a_public_key_with_a_line_like_an_extension_is_up_to_date(
    own: Authority,
) -> None:
    """One key of 64 has a second line that begins with an X, as `X509v3 …` does."""
    (own.root / "tls/redis-2.pem").unlink()
    keys = iter(lambda: ec.generate_private_key(ec.SECP256R1()), None)
    key = next(filter(_has_line_like_an_extension, keys))
    given = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(authority._Signer, "_new_key", lambda _: given)
        own.make()
    assert own.check() == []


def _has_line_like_an_extension(key: ec.EllipticCurvePrivateKey) -> bool:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.splitlines()[2].startswith(b"X")


def test_a_certificate_of_another_service_is_replaced(own: Authority) -> None:
    tls = own.root / "tls"
    (tls / "redis-1.pem").write_text((tls / "redis-2.pem").read_text())
    (tls / "redis-3.pem").write_text("cut")
    assert [(each.file, each.why) for each in own.check()] == [
        ("tls/redis-1.pem", "stale"),
        ("tls/redis-3.pem", "stale"),
    ]
    own.make()
    assert own.check() == []


def test_a_lost_authority_certificate_is_restored_and_keeps_its_leaves(own: Authority) -> None:
    (own.root / "tls/ca.crt").unlink()
    assert [each.file for each in own.check()] == ["tls/ca.crt"]
    before = (own.root / "tls/redis-1.pem").read_text()
    own.make()
    assert own.check() == []
    assert (own.root / "tls/redis-1.pem").read_text() == before


def test_a_lost_authority_key_is_not_replaced(own: Authority) -> None:
    """Services would not trust each other while only some have a certificate of a new authority."""
    (own.root / "keys/cluster_ca_key").unlink()
    with pytest.raises(RuntimeError) as refused:
        own.make()
    assert "cluster_ca_key" in refused.value.args[0].message
    assert not [*(own.root / "tls").glob(".new*")]

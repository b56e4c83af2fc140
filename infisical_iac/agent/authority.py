"""Make the certificates with which the services of a cluster authenticate to each other.

In /etc/infisical, keys/cluster_ca_key is the key of the deployment's own authority in base64,
tls/ca.crt its certificate, and tls/<service>.pem the certificate of a service with its key.
"""

import re
import shutil
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from infisical_iac.agent import files
from infisical_iac.agent.runner import Failure, Runner, action, observation
from infisical_iac.agent.shared_state import ROOT

Reason = Literal["missing", "stale", "ends"]

SERVICES = ("etcd", "postgres", "redis", "sentinel")
NUMBERS = (1, 2, 3)
KEY, CERTIFICATE = "keys/cluster_ca_key", "tls/ca.crt"
_DAY = 86400
# The days before its end at which a certificate is renewed. The authority keeps its key then, so
# that the certificates that it has signed stay valid.
_SOON, _SOON_FOR_AUTHORITY = 60, 1825
LEAF_DAYS, AUTHORITY_DAYS = 731, 7300
_BEGIN, _END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
_PUBLIC = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_USAGES = {
    "serverAuth": "TLS Web Server Authentication",
    "clientAuth": "TLS Web Client Authentication",
}


@dataclass(frozen=True)
class DueFile:
    """A file in /etc/infisical that is to be made or renewed.

    Attributes:
        file: its path below /etc/infisical.
        why: `missing`; `stale` if it does not fit its key, its authority or its names; `ends` if
            its certificate ends soon.
        ends: when the certificate ends, in seconds since the epoch; 0 if there is none.
    """

    file: str
    why: Reason
    ends: int


@dataclass(frozen=True)
class _Leaf:
    """The certificate of a service."""

    service: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.service}-{self.number}"

    @property
    def file(self) -> str:
        return f"tls/{self.name}.pem"

    @property
    def names(self) -> list[str]:
        """The names by which it is reached. HAProxy passes TLS on without decrypting it."""
        through = ["DNS:haproxy"] if self.service in ("postgres", "redis") else []
        return [f"DNS:{self.name}", *through, "DNS:localhost", "IP:127.0.0.1"]

    @property
    def usages(self) -> list[str]:
        """Only members of etcd and its clients log in with a certificate."""
        is_client = self.service in ("etcd", "postgres")
        return ["serverAuth", "clientAuth"] if is_client else ["serverAuth"]

    @property
    def extensions(self) -> set[str]:
        """The extensions as openssl prints them."""
        usages = ", ".join(_USAGES[each] for each in self.usages)
        return {usages, ", ".join(self.names).replace("IP:", "IP Address:")}


def _leaves() -> list[_Leaf]:
    return [_Leaf(service, number) for service in SERVICES for number in NUMBERS]


def _permitted() -> set[str]:
    """Return the names for which the authority can sign: only the cluster's own ones.

    Infisical trusts it for every address that it connects to.
    """
    names = {name for each in _leaves() for name in each.names}
    return {f"{each}/255.255.255.255" if each.startswith("IP:") else each for each in names}


@observation
def check(runner: Runner) -> list[DueFile]:
    """Return the files that `make` would make."""
    return [*_check_authority(runner), *_check_leaves(runner)]


def _check_authority(runner: Runner) -> Iterator[DueFile]:
    key = _key(runner)
    if not key:
        yield DueFile(KEY, "missing", 0)
        return
    if not _has_content(runner, CERTIFICATE):
        yield DueFile(CERTIFICATE, "missing", 0)
        return
    shown = _show(runner, CERTIFICATE, "nameConstraints")
    constraints = set(re.findall(r"^ *((?:DNS|IP):\S+)$", shown.text, re.MULTILINE))
    if _public_key(runner, key) != shown.public or constraints != _permitted():
        yield DueFile(CERTIFICATE, "stale", shown.ends)
    elif shown.ends < time.time() + _SOON_FOR_AUTHORITY * _DAY:
        yield DueFile(CERTIFICATE, "ends", shown.ends)


def _check_leaves(runner: Runner) -> Iterator[DueFile]:
    there = [each for each in _leaves() if _has_content(runner, each.file)]
    foreign = _list_foreign(runner, there)
    for each in _leaves():
        if each not in there:
            yield DueFile(each.file, "missing", 0)
            continue
        shown = _show(runner, each.file, "extendedKeyUsage,subjectAltName")
        pem = runner.text(f"{ROOT}/{each.file}") or ""
        found = set(re.findall(r"^    (.*\S) *$", shown.text, re.MULTILINE))
        is_own = found == each.extensions and shown.public == _public_key(runner, pem)
        if not is_own or each in foreign:
            yield DueFile(each.file, "stale", shown.ends)
        elif shown.ends < time.time() + _SOON * _DAY:
            yield DueFile(each.file, "ends", shown.ends)


def _list_foreign(runner: Runner, leaves: Sequence[_Leaf]) -> list[_Leaf]:
    """Return those that another authority has signed.

    None if the authority's certificate is missing: `make` makes one with the same key.
    """
    if not leaves or not _has_content(runner, CERTIFICATE):
        return []
    paths = {each: str(runner.path(f"{ROOT}/{each.file}")) for each in leaves}
    authority = str(runner.path(f"{ROOT}/{CERTIFICATE}"))
    verify = ["openssl", "verify", "-no_check_time", "-CAfile", authority, *paths.values()]
    verified = runner.run(verify).text.splitlines()
    return [each for each, path in paths.items() if f"{path}: OK" not in verified]


@dataclass(frozen=True)
class _Shown:
    """A certificate as openssl shows it: its extensions, its public key and its end."""

    text: str
    public: str
    ends: int


def _show(runner: Runner, file: str, extensions: str) -> _Shown:
    path = str(runner.path(f"{ROOT}/{file}"))
    wanted = ["-ext", extensions, "-pubkey", "-enddate"]
    shown = runner.run(["openssl", "x509", "-noout", *wanted, "-in", path]).text
    public = _PUBLIC.search(shown)
    end = re.search(r"^notAfter=(.*)$", shown, re.MULTILINE)
    return _Shown(
        _PUBLIC.sub("", shown),
        public[0] if public else "",
        ssl.cert_time_to_seconds(end[1]) if end else 0,
    )


def _public_key(runner: Runner, pem: str) -> str:
    """Return the public key of a private one; text that is never one if it can't be read."""
    return runner.run(["openssl", "pkey", "-pubout"], stdin=pem).text.strip() or "unreadable"


def _has_content(runner: Runner, file: str) -> bool:
    path = runner.path(f"{ROOT}/{file}")
    return path.is_file() and path.stat().st_size > 0


def _key(runner: Runner) -> str:
    """Return the authority's key in PEM; empty without one."""
    key = (runner.text(f"{ROOT}/{KEY}") or "").strip()
    lines = [key[begin : begin + 64] for begin in range(0, len(key), 64)]
    return "\n".join([_BEGIN, *lines, _END, ""]) if key else ""


@action
def make(runner: Runner) -> None:
    """Make the files that are due. Raises RuntimeError with a Failure."""
    tls = runner.path(f"{ROOT}/tls")
    tls.mkdir(parents=True, exist_ok=True)
    tls.chmod(0o700)
    for each in tls.glob(".new.*"):  # left by a killed run, with a key
        shutil.rmtree(each, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=".new.", dir=tls))
    try:
        _Signer(runner, work).make()
    finally:
        shutil.rmtree(work, ignore_errors=True)


@dataclass(frozen=True)
class _Signer:
    """Makes keys and certificates in a private folder."""

    runner: Runner
    work: Path

    def make(self) -> None:
        files.write(self.work / "index", b"")
        files.write(self.work / "config", _config(self.work).encode())
        if [*_check_authority(self.runner)]:
            self._make_authority()
        files.write(self.work / "ca.key", _key(self.runner).encode())
        due = {each.file for each in _check_leaves(self.runner)}
        for leaf in _leaves():
            if leaf.file in due:
                self._make_leaf(leaf)

    def _make_authority(self) -> None:
        key, certificate = (self.runner.path(f"{ROOT}/{each}") for each in (KEY, CERTIFICATE))
        if not _key(self.runner):
            if _has_content(self.runner, CERTIFICATE):
                raise RuntimeError(
                    Failure(
                        "command",
                        f"{ROOT}/{KEY} is gone, and without it no certificate can be made again",
                        "restore it from another data node or the recovery kit",
                    )
                )
            lines = (line for line in self._new_key().splitlines() if "-----" not in line)
            files.write(key, f"{''.join(lines)}\n".encode())
        files.write(self.work / "ca.key", _key(self.runner).encode())
        self._request("ca.key")
        self._sign(
            AUTHORITY_DAYS,
            "/CN=infisical-iac cluster authority",
            ["-selfsign", "-extensions", "authority"],
        )
        files.write(certificate, (self.work / "signed").read_bytes())

    def _make_leaf(self, leaf: _Leaf) -> None:
        key = self._new_key()
        files.write(self.work / "leaf.key", key.encode())
        self._request("leaf.key")
        authority = str(self.runner.path(f"{ROOT}/{CERTIFICATE}"))
        options = ["-cert", authority, "-extensions", leaf.name]
        self._sign(LEAF_DAYS, f"/CN={leaf.service}", options)
        content = (self.work / "signed").read_text() + key
        files.write(self.runner.path(f"{ROOT}/{leaf.file}"), content.encode())

    def _new_key(self) -> str:
        generate = ["openssl", "genpkey", "-algorithm", "EC"]
        return self.runner.must_run([*generate, "-pkeyopt", "ec_paramgen_curve:P-256"])

    def _request(self, key: str) -> None:
        new = ["openssl", "req", "-new", "-key", str(self.work / key), "-subj", "/CN=any"]
        config = ["-config", str(self.work / "config")]
        self.runner.must_run([*new, *config, "-out", str(self.work / "request")])

    def _sign(self, days: int, subject: str, options: Sequence[str]) -> None:
        # Certificates begin a day early, for hosts whose clock is behind.
        now = datetime.now(UTC)
        begin, end = (f"{now + timedelta(n):%Y%m%d%H%M%SZ}" for n in (-1, days))
        call = ["openssl", "ca", "-batch", "-notext", "-config", str(self.work / "config")]
        call += ["-subj", subject, "-in", str(self.work / "request"), "-startdate", begin]
        call += ["-enddate", end, "-keyfile", str(self.work / "ca.key"), *options]
        self.runner.must_run([*call, "-out", str(self.work / "signed")])


def _config(work: Path) -> str:
    permitted = ", ".join(f"permitted;{each}" for each in sorted(_permitted()))
    return f"""\
[ca]
default_ca = own
[own]
new_certs_dir = {work}
database = {work}/index
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = empty
[empty]
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
nameConstraints = critical, {permitted}
{"".join(map(_config_of_leaf, _leaves()))}"""


def _config_of_leaf(leaf: _Leaf) -> str:
    return f"""\
[{leaf.name}]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = {", ".join(leaf.usages)}
subjectAltName = {",".join(leaf.names)}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

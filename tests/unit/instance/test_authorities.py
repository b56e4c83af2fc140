"""Test which files of authorities are accepted, and how the container of a host gets them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from pyinfra.api.command import FunctionCommand

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.rendering import digest
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.instance import proof
from infisical_iac.instance.authorities import has_changed, read_authorities
from infisical_iac.stack.compose import compose_file
from tests.certificates import OwnAuthority
from tests.unit.rendered_stack import TRIXIE, read_deployed, render
from tests.unit.settings_of import settings_of


def _read(path: Path, now: datetime | None = None) -> str:
    return read_authorities(settings_of(extra_ca=str(path)), now)


def test_several_authorities_are_read_without_the_text_around_them(
    authority: OwnAuthority, tmp_path: Path
) -> None:
    other = OwnAuthority(tmp_path / "other")
    (tmp_path / "both.pem").write_text(
        f"# ours\n{authority.ca.read_text()}\n# theirs\n{other.ca.read_text()}"
    )
    found = _read(tmp_path / "both.pem")
    assert found.count("BEGIN CERTIFICATE") == 2
    assert "#" not in found


def test_no_file_is_read_without_the_setting() -> None:
    assert read_authorities(settings_of()) == ""


def test_each_file_that_is_no_authority_is_refused(authority: OwnAuthority, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("obviously fake\n")
    cases = {
        "settings.not_readable": tmp_path / "none.pem",
        "settings.no_certificate": tmp_path / "text.pem",
        "settings.no_authority": authority.issue("smtp.example.com").certificate,
    }
    for code, path in cases.items():
        with pytest.raises(SettingsError, match="extra_ca") as refused:
            _read(path)
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("years", "code"),
    [(-50, "settings.certificate_not_yet_valid"), (50, "settings.certificate_expired")],
)
def test_an_authority_outside_its_dates_is_refused(
    authority: OwnAuthority, years: int, code: str
) -> None:
    with pytest.raises(SettingsError, match="extra_ca") as refused:
        _read(authority.ca, datetime.now(UTC) + timedelta(days=365 * years))
    assert refused.value.code == code


def test_another_content_recreates_the_container(authority: OwnAuthority, tmp_path: Path) -> None:
    settings = settings_of(extra_ca=str(authority.ca))
    infisical = yaml.safe_load(compose_file(settings, TRIXIE))["services"]["infisical"]
    inside = f"/extra-ca-{digest(read_authorities(settings))}.crt"
    assert infisical["volumes"] == [f"/etc/infisical-iac/extra-ca.crt:{inside}:ro"]
    assert infisical["environment"]["NODE_EXTRA_CA_CERTS"] == inside


def test_a_drill_trusts_no_further_authority(authority: OwnAuthority) -> None:
    text = compose_file(settings_of(extra_ca=str(authority.ca)), TRIXIE, drill=True)
    assert "extra-ca" not in text


@pytest.mark.parametrize("topology", ["single", "swarm"])
def test_the_deployed_authorities_are_compared_with_the_file(
    authority: OwnAuthority, tmp_path: Path, topology: str
) -> None:
    def deploy(path: Path | str) -> str:
        if topology == "single":
            text = compose_file(settings_of(extra_ca=str(path)), TRIXIE)
        else:
            text = yaml.safe_dump(render(extra_ca=str(path)))
        return read_deployed(text).authorities

    ours, other = str(authority.ca), str(OwnAuthority(tmp_path).ca)
    deployed = deploy(ours)
    assert not has_changed(settings_of(extra_ca=ours), deployed)
    assert has_changed(settings_of(extra_ca=other), deployed)
    assert has_changed(settings_of(), deployed)
    assert has_changed(settings_of(extra_ca=ours), deploy(""))
    assert not has_changed(settings_of(), deploy(""))
    assert not has_changed(settings_of(), DeployedInfisical().authorities)


@pytest.mark.parametrize(("tls", "proofs"), [("starttls", 2), ("none", 1)])
def test_other_authorities_prove_mail_and_logins_again(
    authority: OwnAuthority, tls: str, proofs: int
) -> None:
    settings = settings_of(
        extra_ca=str(authority.ca),
        smtp={"host": "10.0.0.9", "from_address": "iac@example.com", "tls": tls},
        login={"github": {"client_id": "fake-client"}},
    )
    smtp = settings.instance.smtp
    assert smtp
    variables = {**settings.instance.variables, "SITE_URL": settings.stack.site_url}
    given = frozenset({"given_client_secret_github_login"})

    def count(authorities: str) -> int:
        deployed = DeployedInfisical(variables, authorities, given)
        decided = [
            *proof.decide_mail(settings, smtp, deployed),
            *proof.decide_logins(settings, deployed),
        ]
        return len([each for each in decided if isinstance(each, FunctionCommand)])

    assert count(digest(authority.ca.read_text())) == 0
    assert count("") == count("0123456789ab") == proofs

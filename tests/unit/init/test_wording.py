"""Test the wording of messages of `infisical-iac init`. Other tests assert codes and facts."""

from collections.abc import Callable

import pytest

from infisical_iac.cli.init_questions import parse_choice
from infisical_iac.core.errors import SettingsError
from infisical_iac.init import answers, project_file


@pytest.mark.parametrize(
    ("check", "answer", "sentence"),
    [
        (
            answers.check_group,
            "Office",
            "'Office' is not a group name; use lower-case letters, digits and underscores, such as "
            "office",
        ),
        (
            answers.check_group,
            "staging",
            "'staging' is a group of this project's own; choose another name",
        ),
        (
            answers.check_host,
            "my server",
            "'my server' is not a host; write its name or address, such as 203.0.113.7",
        ),
        (answers.check_user, "Root", "'Root' is not a user; write the name of one, such as root"),
        (
            lambda answer: answers.parse_domain({}, answer),
            "secrets",
            "'secrets' has no dot, so it can't be a domain in the DNS: write one such as "
            "secrets.example.com, or `none`",
        ),
        (
            lambda answer: str(answers.parse_port(answer)),
            "ssh",
            "'ssh' is not a port; write a number from 1 to 65535, such as 22",
        ),
        (
            lambda answer: str(answers.parse_environments(answer)),
            "Dev",
            "'Dev' is not a slug; write at most 64 lower-case letters and digits, in words joined "
            "by single hyphens",
        ),
        (
            lambda answer: str(answers.parse_environments(answer)),
            "dev dev",
            "'dev' is named twice; write each environment once",
        ),
        (
            answers.check_backup_place,
            "/backups",
            "'/backups' is not a second place for backups; write an address that begins with "
            "sftp:, s3: or rest:, such as sftp:u123456@u123456.your-storagebox.de:infisical, or "
            "'later'",
        ),
        (
            lambda answer: answers.parse_person(answer)[1],
            "ada@example.com",
            "'' is not a role; write admin, developer, viewer or none, such as "
            "ada@example.com=developer",
        ),
        (
            lambda answer: project_file.add_person(
                "project: {name: Acme, slug: acme-shop}\n"
                "environments: [{slug: dev, name: Dev}]\npeople: {ada@example.com: admin}\n",
                answer,
                "viewer",
            ),
            "ada@example.com",
            "the project file has ada@example.com already: change the role there",
        ),
        (
            lambda answer: str(parse_choice(answer, 2)),
            "3",
            "'3' is not a choice; write a number from 1 to 2",
        ),
    ],
)
def test_a_refused_answer_is_explained_with_a_remedy(
    check: Callable[[str], str], answer: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        check(answer)
    assert str(refused.value) == sentence

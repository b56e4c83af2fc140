"""The questions of `infisical-iac init`, each answered by an option, a default or a person."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import click

from infisical_iac.core.errors import UserError
from infisical_iac.init.answers import NEW, StartError

_T = TypeVar("_T")


class Question(NamedTuple):
    """Hold what is asked unless an option answers it; without a default, an answer is needed."""

    option: str
    text: str
    default: str | None = None


HOST = Question("host", f"The server's name or address ({NEW}: one to be made at Hetzner Cloud)")
SSH_KEY = Question("ssh_key", "The file of your public SSH key", "~/.ssh/id_ed25519.pub")
SSH_USER = Question("ssh_user", "The user to log in as there", "root")
DOMAIN = Question("domain", "The domain of Infisical (none: through an SSH tunnel only)", "")
EMAIL = Question("email", "The first administrator's e-mail address")
ORGANIZATION = Question("organization", "The organization, and its project", "ChainAlign")
SERVICES = Question("services", "The directory that your services are in, from here", "..")


def ask(
    given: Mapping[str, str | None], yes: bool, question: Question, check: Callable[[str], _T]
) -> _T:
    """Return what `check` makes of the option, with `yes` of the default, else of a person's
    answer.

    Raises a UserError for an option that can't be used, or that is needed and missing.
    """
    answer = given[question.option]
    if answer is None and not yes:
        return prompt(question.text, question.default, check)
    option = "--" + question.option.replace("_", "-")
    answer = question.default if answer is None else answer
    if answer is None:
        raise StartError(f"{option} is not given: with --yes nothing is asked, so give it")
    try:
        return check(answer.strip())
    except UserError as error:
        raise StartError(f"{option}: {error}") from None


def prompt(text: str, default: str | None, check: Callable[[str], _T]) -> _T:
    """Return what `check` makes of a person's answer; a bad one is told why and asked again."""

    def checked(answer: str) -> _T:
        try:
            return check(answer.strip())
        except UserError as error:
            raise click.UsageError(str(error)) from None

    answer: _T = click.prompt(text, default, value_proc=checked, show_default=bool(default))
    return answer

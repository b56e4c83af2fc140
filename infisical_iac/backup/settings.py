"""The settings of backups, drills and recovery kits, checked as all others are."""

import re
from collections import Counter
from typing import Annotated

from pydantic import Field, field_validator

from infisical_iac.backup.recipients import parse
from infisical_iac.backup.signing import FINGERPRINT
from infisical_iac.backup.target import BackupTarget, Keep
from infisical_iac.core.errors import FileError
from infisical_iac.core.validation import Calendar, SettingsModel, within

# The address may hold a token; none of these has a meaning to the shell's or curl's quotes.
_WEBHOOK = r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/?&=%:@!$*+,;-]*)?"


class BackupSettings(SettingsModel):
    """Set what is backed up where, when, for how long it stays, and who opens recovery kits."""

    backup_targets: tuple[BackupTarget, ...]
    backup_schedule: Calendar
    backup_random_delay: Annotated[int, within(0, 3600, "choose 0 to 3600 seconds")]
    backup_keep: Keep
    backup_with_encryption_key: bool
    # Its address may hold a token, and is never shown.
    backup_webhook: str = Field(repr=False)
    drill_schedule: Calendar

    # Who can open kits unless the command names others, and the key that signs them.
    recovery_recipients: tuple[str, ...]
    recovery_fingerprint: str

    @field_validator("backup_targets")
    @classmethod
    def _targets_have_names_of_their_own(
        cls, value: tuple[BackupTarget, ...]
    ) -> tuple[BackupTarget, ...]:
        if not value:
            raise ValueError("is empty; write at least one target, as group_data/all.py has it")
        for name, number in Counter(each.name for each in value).items():
            if number > 1:
                raise ValueError(f"has {number} targets named {name!r}; give each its own name")
        return value

    @field_validator("backup_webhook")
    @classmethod
    def _webhook_is_an_address(cls, value: str) -> str:
        if value and not re.fullmatch(_WEBHOOK, value):
            raise ValueError("is no address; write one such as https://hooks.example.com/…")
        return value

    @field_validator("recovery_recipients")
    @classmethod
    def _recipients_are_public_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            try:
                parse(each)
            except FileError as error:
                raise ValueError(f"has an entry that can't be used: {error}") from None
        return value

    @field_validator("recovery_fingerprint")
    @classmethod
    def _fingerprint_is_one(cls, value: str) -> str:
        if value and not re.fullmatch(FINGERPRINT, value):
            raise ValueError(
                "is no fingerprint: write SHA256: and what follows, as `infisical-iac "
                "recovery-kit` prints it"
            )
        return value

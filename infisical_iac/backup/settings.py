"""The settings of backups, drills and recovery kits, checked as all others are."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from infisical_iac.backup.kit_keys import FINGERPRINT, parse_recipient
from infisical_iac.backup.target import BackupTarget, Keep
from infisical_iac.core.errors import FileError
from infisical_iac.core.validation import DISTINCT_NAMES, Calendar, SettingsModel, within

# The address may hold a token; none of these has a meaning to the shell's or curl's quotes.
_WEBHOOK = r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/?&=%:@!$*+,;-]*)?"


class BackupSettings(SettingsModel):
    """Backups, drills and recovery kits.

    See [backups](../operate/backup.md), [drills](../operate/drill.md) and
    [recovery](../operate/recovery.md).
    """

    backup_targets: Annotated[tuple[BackupTarget, ...], DISTINCT_NAMES]
    """Places for backups, saved to one after the other. The default is on the host only: **name a
    second one**.

    Change: the next backup creates the repository of a new target. A removed target keeps its
    snapshots; its credentials are removed from the host.
    """

    backup_schedule: Calendar
    """Time of the backup, in the host's time zone. Make it at least daily: `status` expects that.

    Change: the next `apply` sets the timer.
    """

    backup_random_delay: Annotated[int, within(0, 3600, "choose 0 to 3600 seconds")]
    """Random delay before a backup or drill, at most this many seconds.

    Change: the next `apply` sets the timers.
    """

    backup_keep: Keep
    """Snapshots to keep.

    Change: the next backup deletes what is surplus, except in targets with `append_only`.
    """

    backup_with_encryption_key: bool
    """`True` puts the key that decrypts all secrets into each snapshot: **anyone with a repository
    and its password reads everything**.

    Change: counts for new snapshots; earlier ones keep what they hold.
    """

    backup_webhook: str = Field(repr=False)
    """Address to which failures are posted as JSON: of backups, drills, maintenance windows and the
    firewall. It may hold a token, and is never shown. Empty: nowhere. With `monitoring = "on"` it
    is a target of [alerts](../operate/alerts.md#the-hosts-own-jobs) that gets only these.

    Change: the next `apply` writes it to the host, readable by root only.
    """

    drill_schedule: Calendar
    """Time at which the latest snapshot is restored in a [drill](../operate/drill.md), at least
    monthly.

    Change: the next `apply` sets the timer.
    """

    recovery_recipients: tuple[str, ...]
    """Public keys, age or SSH, that can open recovery kits. `--recipient` takes precedence.

    Change: counts for new kits. A kit that was made before is opened by its former recipients: make
    a new one.
    """

    recovery_fingerprint: str
    """Fingerprint of the key that signs this deployment's recovery kits, as `infisical-iac
    recovery-kit` prints it. `restore` accepts no kit with another signature. Empty: it asks.

    Change: read on your machine only; nothing changes on the host.
    """

    @field_validator("backup_targets")
    @classmethod
    def _there_is_a_target(cls, value: tuple[BackupTarget, ...]) -> tuple[BackupTarget, ...]:
        if not value:
            raise ValueError(
                "is empty; write at least one target, as `infisical-iac docs settings` shows"
            )
        return value

    @field_validator("backup_webhook")
    @classmethod
    def _webhook_is_an_address(cls, value: str) -> str:
        if value and not re.fullmatch(_WEBHOOK, value):
            raise ValueError("is not an address; write one such as https://hooks.example.com/…")
        return value

    @field_validator("recovery_recipients")
    @classmethod
    def _recipients_are_public_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            try:
                parse_recipient(each)
            except FileError as error:
                raise ValueError(f"has an entry that can't be used: {error}") from None
        return value

    @field_validator("recovery_fingerprint")
    @classmethod
    def _fingerprint_is_complete(cls, value: str) -> str:
        if value and not re.fullmatch(FINGERPRINT, value):
            raise ValueError(
                "is not a fingerprint: write SHA256: and its 43 characters, as `infisical-iac "
                "recovery-kit` prints them"
            )
        return value

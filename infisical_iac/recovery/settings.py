"""The settings of recovery kits, checked as all others are."""

import re

from pydantic import BaseModel, field_validator

from infisical_iac.backup.recipients import RecipientError, parse
from infisical_iac.backup.signing import FINGERPRINT


class RecoverySettings(BaseModel):
    """The recipients of kits, unless the command names others, and the key that signs them."""

    recovery_recipients: tuple[str, ...]
    recovery_fingerprint: str

    @field_validator("recovery_recipients")
    @classmethod
    def _recipients_are_public_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            try:
                parse(each)
            except RecipientError as error:
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

"""The setting of recovery kits, checked as all others are."""

from pydantic import BaseModel, field_validator

from infisical_iac.recovery.recipients import RecipientError, parse


class RecoverySettings(BaseModel):
    """Whom kits are encrypted for unless the command says so."""

    recovery_recipients: tuple[str, ...]

    @field_validator("recovery_recipients")
    @classmethod
    def _recipients_are_public_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            try:
                parse(each)
            except RecipientError as error:
                raise ValueError(f"has an entry that can't be used: {error}") from None
        return value

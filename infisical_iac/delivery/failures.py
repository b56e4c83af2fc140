"""Word what can go wrong on the way to where a service runs."""

from infisical_iac.core.errors import UserError


class DeliveryError(UserError):
    """Credentials could not be delivered; where they should go, nothing or all was changed."""

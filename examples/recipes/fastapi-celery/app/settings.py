"""Settings from the environment, which the runner fills before this module is imported."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Every field is a secret's name in lower case."""

    database_url: SecretStr
    celery_broker_url: SecretStr
    log_level: str = "info"


settings = Settings()

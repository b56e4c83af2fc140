"""Configuration that differs between environments, validated when the service starts."""

from pathlib import Path

from infisical_config import Cache, exit_on_error, load
from pydantic import BaseModel, Json

# The service starts from this file while Infisical is down. It is encrypted and ignored by git.
_CACHE = Path(__file__).parent / "cache" / "config"


class ForecastOptions(BaseModel):
    """Options of a forecast."""

    model: str
    horizon: int


class Settings(BaseModel):
    """Secrets of the service, by their names in Infisical."""

    PORT: int
    DATABASE_URL: str
    JWT_SECRET: str
    FORECAST_OPTIONS: Json[ForecastOptions]


with exit_on_error():
    settings = load(schema=Settings, cache=Cache(_CACHE))

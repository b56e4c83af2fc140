"""Say after a rollback how the settings differ from what serves again."""

from infisical_iac.change.path import Images, WayIn
from infisical_iac.core.settings import Settings
from infisical_iac.stack.images import without_known_digest


def differing(runs: Images, settings: Settings) -> list[str]:
    """Return which settings must follow, or the next apply changes the version again."""
    serves, chosen = map(without_known_digest, (runs.infisical, settings.infisical_reference))
    wanted = {
        "infisical_version": (runs.version, settings.infisical_version),
        "infisical_digest": (serves.partition("@")[2], chosen.partition("@")[2]),
        "postgres_image": (
            without_known_digest(runs.postgres),
            without_known_digest(settings.postgres_image),
        ),
    }
    due = [f'{name} = "{is_}"' for name, (is_, was) in wanted.items() if is_ != was]
    if not due:
        return []
    return [f"Set {' and '.join(due)} in group_data/, or the next apply upgrades again."]


def moved(serves: WayIn, settings: Settings) -> list[str]:
    """Return what of the way in is as it was then, until the next apply brings that of the
    settings.
    """
    told = []
    if serves.port != settings.http_port:
        told.append(
            f"It is on port {serves.port} again: the next apply moves it to "
            f"{settings.http_port}, the http_port."
        )
    if serves.ingress != settings.ingress:
        told.append(
            f"Its ingress is {serves.ingress!r} again, as it was then: the next apply brings "
            f"{settings.ingress!r}."
        )
    return told

"""Read which engine answers, where it is somebody else's."""

from pyinfra.api.facts import FactBase


class Engine(FactBase[tuple[str, bool]]):
    """The version of Docker, empty if none answers, and whether it has `docker compose`."""

    def command(self) -> str:
        return (
            "echo $(docker version --format '{{ .Server.Version }}' 2>/dev/null); "
            "docker compose version >/dev/null 2>&1 && echo compose; true"
        )

    def process(self, output: list[str]) -> tuple[str, bool]:
        return "".join(output[:1]), "compose" in output[1:]

    @staticmethod
    def default() -> tuple[str, bool]:
        return "", False

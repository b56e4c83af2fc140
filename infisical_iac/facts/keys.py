"""Read what is to be said of the keys on the host, without reading any into this program."""

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from infisical_iac.core.rendering import script


@dataclass(frozen=True)
class KeysState:
    """The names of keys and files by what is wrong with them.

    `database` tells whether a database exists that was encrypted with these keys, `replicas`
    whether it is a cluster's, `repositories` whether backups were made with their password, and
    `admin_email` for whom the administrator's password was stored; empty if there is none.
    """

    database: bool = False
    replicas: bool = False
    repositories: bool = False
    missing: frozenset[str] = frozenset()
    sample: frozenset[str] = frozenset()
    malformed: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    admin_email: str = ""

    @property
    def settled(self) -> bool:
        """Return whether nothing is to be made or repaired."""
        return not (self.missing or self.sample or self.malformed or self.open or self.stale)


class Keys(FactBase[KeysState]):
    """The KeysState of `/etc/infisical`; `more` are keys that not every host has."""

    def command(self, more: str = "") -> str:
        return script("keys", "check", *([more] if more else []))

    def process(self, output: list[str]) -> KeysState:
        pairs = [line.split(" ", 1) for line in output if " " in line]

        def named(what: str) -> frozenset[str]:
            return frozenset(name for kind, name in pairs if kind == what)

        return KeysState(
            database="database" in output or "replicas" in output,
            replicas="replicas" in output,
            repositories="repositories" in output,
            missing=named("missing"),
            sample=named("sample"),
            malformed=named("malformed"),
            open=named("open"),
            stale=named("stale"),
            admin_email="".join(named("admin")),
        )

    @staticmethod
    def default() -> KeysState:
        return KeysState()

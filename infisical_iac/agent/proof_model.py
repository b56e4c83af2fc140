"""The values of a proof: the settings that it depends on, and the results from before a change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.reach import Reach
from infisical_iac.agent.reading import ReadSecret, Secrets


@dataclass(frozen=True)
class ProofPlan:
    """The settings that a proof depends on.

    Attributes:
        project: the slug of the project whose secrets are read.
        isolation: the method of isolation in the settings.
        topology: whose database serves, `single` or `swarm`: while data move, the host has one of
            each.
    """

    project: str
    isolation: str
    address: PublicAddress
    topology: str = ""

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "ProofPlan":
        return cls(**{**found, "address": PublicAddress(**found["address"])})


@dataclass(frozen=True)
class Before:
    """The results of the checks before the change. They hold no value and no credential.

    Attributes:
        secrets: the secrets that the deployer read.
        public: whether the public address answered.
        canary: whether there was a canary.
        same_ingress: whether the ingress and its port stay the same.
        reach: the secrets that a service's identity was shown; None if none could log in.
        key: the random key of the digests in `secrets`, in hexadecimal digits.
    """

    secrets: Secrets
    public: bool
    canary: bool = False
    same_ingress: bool = True
    reach: Reach | None = None
    key: str = field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for a file that only root may read."""
        reach = self.reach and {
            "name": self.reach.name,
            "shown": {each: sorted(ids) for each, ids in self.reach.shown.items()},
        }
        return {
            "secrets": {id: list(each) for id, each in self.secrets.items()},
            "public": self.public,
            "canary": self.canary,
            "same_ingress": self.same_ingress,
            "reach": reach,
            "key": self.key,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Before":
        """Return what `to_json` has written."""
        reach = found["reach"] and Reach(
            found["reach"]["name"],
            {each: frozenset(ids) for each, ids in found["reach"]["shown"].items()},
        )
        secrets = {id: ReadSecret(*each) for id, each in found["secrets"].items()}
        return cls(**{**found, "secrets": secrets, "reach": reach})

"""The settings of a cluster, checked as all others are."""

import ipaddress
from typing import Literal

from pydantic import BaseModel, field_validator

# How many hosts hold data: as many as make a majority when one is lost.
DATA_NODES = 3


class ClusterSettings(BaseModel):
    """Set whether the stack runs on one host or on three and more, and how."""

    topology: Literal["single", "swarm"]
    cluster_address: str
    overlay_encryption: Literal["required", "optional"]
    infisical_replicas: int
    patroni_image: str
    etcd_image: str
    haproxy_image: str

    @field_validator("cluster_address")
    @classmethod
    def _cluster_address_is_an_address(cls, value: str) -> str:
        try:
            return value and str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(
                f"{value!r} is no address; write where the other hosts reach this one, such as "
                "10.0.0.2, or leave it empty"
            ) from None

    @field_validator("infisical_replicas")
    @classmethod
    def _replicas_are_at_least_two(cls, value: int) -> int:
        if not 2 <= value <= 20:
            raise ValueError(f"{value} is out of range; choose 2 to 20, 3 for three hosts")
        return value

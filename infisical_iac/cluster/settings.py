"""The settings of a cluster, checked as all others are."""

import ipaddress
from typing import Annotated, Literal

from pydantic import field_validator

from infisical_iac.core.validation import SettingsModel, pinned, within

# How many hosts hold data: as many as make a majority when one is lost.
DATA_NODES = 3


class ClusterSettings(SettingsModel):
    """Set whether the stack runs on one host or on three and more, and how."""

    topology: Literal["single", "swarm"]
    cluster_address: str
    overlay_encryption: Literal["required", "optional"]
    infisical_replicas: Annotated[int, within(2, 20, "choose 2 to 20, 3 for three hosts")]
    patroni_image: Annotated[str, pinned("ghcr.io/zalando/spilo-17:4.0-p3")]
    etcd_image: Annotated[str, pinned("gcr.io/etcd-development/etcd:v3.5.21")]
    haproxy_image: Annotated[str, pinned("haproxy:3.2.25")]

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

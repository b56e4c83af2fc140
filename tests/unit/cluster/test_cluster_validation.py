"""Test the settings and hosts that a cluster refuses."""

from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster import membership
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.cluster.validation import (
    describe_unpinned_images,
    notes,
    refuse,
    refuse_malformed,
    refuse_overlapping,
    refuse_scale_in,
    refuse_scale_out,
    refuse_single,
    refuse_unencrypted,
)
from infisical_iac.core import journal
from infisical_iac.core.errors import Refused
from infisical_iac.core.journal import Journal
from infisical_iac.core.topology import refuse_mixed
from infisical_iac.stack.settings import image_name
from tests.unit.cluster.observed import (
    bare,
    cluster_of,
    converged_states,
    member,
    three,
    three_bare,
)
from tests.unit.rendered_stack import TRIXIE
from tests.unit.settings_of import settings_of

_OWN = {"tls_certificate": "/srv/chain.pem", "tls_key": "/srv/key.pem"}


@pytest.mark.parametrize("chosen", [_OWN, {"acme_ca": "internal"}, {"ingress": "none"}])
def test_a_cluster_accepts_an_ingress_that_orders_no_certificates(chosen: dict[str, Any]) -> None:
    refuse(settings_of(topology="swarm", **chosen))


@pytest.mark.parametrize(
    ("chosen", "what", "remedies"),
    [
        ({}, "setting 'acme_ca'", ("tls_certificate", "'internal'", "'none'")),
        (
            {"acme_ca": "https://acme.example.com/directory"},
            "setting 'acme_ca'",
            ("tls_certificate", "'internal'", "'none'"),
        ),
        ({"ingress": "traefik"}, "setting 'ingress': 'traefik'", ("'caddy' or 'none'", "'single'")),
    ],
)
def test_an_ingress_that_three_hosts_cannot_have_is_refused(
    chosen: dict[str, Any], what: str, remedies: tuple[str, ...]
) -> None:
    with pytest.raises(Refused, match=f"^{what}") as refused:
        refuse(settings_of(topology="swarm", **chosen))
    assert refused.value.code == "refused.ingress"
    assert all(each in str(refused.value) for each in remedies)


def test_a_cluster_without_a_firewall_gets_a_note_on_open_ports() -> None:
    chosen = {"topology": "swarm", "ingress": "none"}
    assert [*notes(settings_of(**chosen), cluster_of(three()))] == []
    [note] = notes(settings_of(**chosen, firewall="off", http_port=8081), cluster_of(three()))
    assert note.startswith("setting 'firewall' is 'off'")
    assert "8081/tcp" in note


def test_images_pinned_only_by_tag_are_named_unless_they_are_in_archives() -> None:
    """Digests are known only of the images of a single host, not of a cluster's own images."""
    settings = settings_of(topology="swarm", ingress="none")
    (note,) = describe_unpinned_images(settings)
    assert "`infisical-iac outdated --pin`" in note
    named = {image for image in map(image_name, settings.images) if image in note}
    assert named == {
        settings.cluster.patroni_image,
        settings.cluster.etcd_image,
        settings.cluster.haproxy_image,
    }
    archived = settings.with_values(image_archives=("images.tar",))
    assert [*describe_unpinned_images(archived)] == []
    digest = f"sha256:{'a' * 64}"
    pinned = settings_of(
        topology="swarm",
        ingress="none",
        patroni_image=f"{settings.cluster.patroni_image}@{digest}",
        etcd_image=f"{settings.cluster.etcd_image}@{digest}",
        haproxy_image=f"{settings.cluster.haproxy_image}@{digest}",
    )
    assert [*describe_unpinned_images(pinned)] == []


@pytest.mark.parametrize(("me", "count"), [("one", 1), ("two", 0)])
def test_the_leader_reports_unpinned_images_in_a_plan(
    monkeypatch: pytest.MonkeyPatch, me: str, count: int
) -> None:
    run = Journal(is_read=True)
    monkeypatch.setattr(journal, "current", lambda: run)
    monkeypatch.setattr(membership, "observe", lambda: cluster_of(three(), me=me))
    ClusterSite.observe(settings_of(topology="swarm", ingress="none"), TRIXIE, None)
    assert len(run.notes) == count


@pytest.mark.parametrize("observed", [three_bare(), three()])
def test_kernels_that_cannot_encrypt_the_overlay_are_refused_unless_accepted(
    observed: dict[str, SwarmState],
) -> None:
    required = settings_of(topology="swarm", ingress="none")
    optional = settings_of(topology="swarm", ingress="none", overlay_encryption="optional")
    refuse_unencrypted(cluster_of(observed), required.cluster)
    observed["two"] = replace(observed["two"], esp=False)
    with pytest.raises(Refused, match="overlay_encryption = 'optional'") as refused:
        refuse_unencrypted(cluster_of(observed), required.cluster)
    assert refused.value.code == "refused.unencrypted"
    assert "kernel of two " in str(refused.value)
    refuse_unencrypted(cluster_of(observed), optional.cluster)
    [note] = notes(optional, cluster_of(observed))
    assert note.startswith("setting 'overlay_encryption' ")


def test_an_unreachable_host_without_esp_in_its_kernel_is_refused() -> None:
    away = member(3, "three", down=True, lacks="esp")
    observed = converged_states(member(1, "one"), member(2, "two"), away)
    del observed["three"]
    with pytest.raises(Refused, match="kernel of three ") as refused:
        refuse_unencrypted(
            cluster_of(observed), settings_of(topology="swarm", ingress="none").cluster
        )
    assert refused.value.code == "refused.unencrypted"


def test_hosts_of_one_inventory_have_one_topology() -> None:
    refuse_mixed(["swarm", "swarm", "swarm"])
    with pytest.raises(Refused, match=r"^setting 'topology': .*'single' .*'swarm'") as refused:
        refuse_mixed(["single", "swarm", "swarm"])
    assert refused.value.code == "refused.mixed_topologies"


def test_a_single_host_is_refused_in_favour_of_scale_out() -> None:
    observed = three_bare()
    refuse_single(cluster_of(observed))
    observed["two"] = replace(observed["two"], single=True, key="key", digest="state")
    with pytest.raises(Refused, match=r"^two .*: `infisical-iac scale-out`") as refused:
        refuse_single(cluster_of(observed))
    assert refused.value.code == "refused.single_host"


def test_kept_data_of_a_single_host_do_not_block_a_cluster() -> None:
    observed = three()
    refuse_single(cluster_of({**observed, "one": replace(observed["one"], single=True)}))


def test_an_address_of_another_host_is_checked_too() -> None:
    refuse_malformed({"one": "10.0.0.1", "two": ""})
    with pytest.raises(Refused, match=r"^setting 'cluster_address': '10\.0\.0\.300' of two ") as no:
        refuse_malformed({"one": "10.0.0.1", "two": "10.0.0.300"})
    assert no.value.code == "refused.malformed_address"


def test_scale_out_needs_a_single_host_with_infisical() -> None:
    observed = three_bare()
    with pytest.raises(Refused, match=r"^one, .*: `infisical-iac apply`") as refused:
        refuse_scale_out(cluster_of(observed))
    assert refused.value.code == "refused.no_single_host"
    single = replace(observed["two"], single=True, key="key", digest="state")
    refuse_scale_out(cluster_of({**observed, "two": single}))


@pytest.mark.parametrize("kept", [False, True])
def test_a_serving_cluster_refuses_another_scale_out(kept: bool) -> None:
    observed = three()
    observed["one"] = replace(observed["one"], single=kept)
    with pytest.raises(Refused, match=r"nothing was changed: `infisical-iac apply`") as refused:
        refuse_scale_out(cluster_of(observed))
    assert refused.value.code == "refused.scaled_out"


def test_scale_in_needs_a_serving_cluster() -> None:
    refuse_scale_in(cluster_of(three()))
    observed = three_bare()
    observed["two"] = replace(observed["two"], single=True, key="key", digest="state")
    with pytest.raises(Refused, match=r"nothing was changed: ") as refused:
        refuse_scale_in(cluster_of(observed))
    assert refused.value.code == "refused.no_cluster"


def test_a_new_host_inside_the_stacks_networks_is_refused() -> None:
    observed = three_bare()
    refuse_overlapping(cluster_of({**observed, "two": bare(2, address="172.31.244.7")}))
    refuse_overlapping(cluster_of(observed, addresses={"two": "fd00::2"}))
    inside = {"two": "172.31.242.7"}
    with pytest.raises(Refused, match=r"^two .*172\.31\.242\.0/24 .*'databases': set"):
        refuse_overlapping(cluster_of(observed, addresses=inside))


def test_a_swarm_member_inside_the_stacks_networks_is_accepted() -> None:
    first = member(1, "one", address="172.31.243.1")
    refuse_overlapping(cluster_of(converged_states(first, member(2, "two"), member(3, "three"))))

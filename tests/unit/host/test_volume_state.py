"""Test that a deploy refuses an unsuitable data volume before it changes anything."""

import pytest

from infisical_iac.agent.volume import PLACES, VolumeState
from infisical_iac.core.errors import Refused, UserError
from infisical_iac.host.deploy import refuse_volume

_DEVICE = "/dev/disk/by-id/scsi-0HC_Volume_1"
_BLANK = VolumeState(present=True)
_OURS = VolumeState(True, "ext4", "u-1", "u-1", frozenset(PLACES.values()))


@pytest.mark.parametrize(
    ("device", "state", "of_host", "deployed"),
    [
        ("", VolumeState(), "", True),
        (_DEVICE, _BLANK, "", False),
        (_DEVICE, _OURS, "u-1", True),
        (_DEVICE, VolumeState(True, "ext4", "u-1"), "", False),
        (_DEVICE, VolumeState(True, "xfs", "u-1"), "", False),
        (_DEVICE, VolumeState(True, "ext4", "u-1"), "u-1", True),
    ],
)
def test_a_usable_volume_is_not_refused(
    device: str, state: VolumeState, of_host: str, deployed: bool
) -> None:
    refuse_volume(device, state, of_host=of_host, deployed=deployed)


@pytest.mark.parametrize(
    ("device", "state", "of_host", "deployed", "code", "fact"),
    [
        ("", VolumeState(), "u-1", False, "refused.data_volume", "UUID u-1"),
        (_DEVICE, VolumeState(), "u-1", True, "settings.volume_missing", _DEVICE),
        (_DEVICE, _BLANK, "u-1", False, "settings.volume_other", "UUID u-1"),
        (_DEVICE, _OURS, "u-2", True, "settings.volume_other", "UUID u-2"),
        (
            *(_DEVICE, VolumeState(True, "something"), "", False),
            *("settings.volume_in_use", "holds something"),
        ),
        (
            *(_DEVICE, VolumeState(True, "LVM2_member"), "", False),
            *("settings.volume_in_use", "holds LVM2_member"),
        ),
        (
            *(_DEVICE, VolumeState(True, "ext4", "u-1", "u-2"), "", True),
            *("settings.volume_not_mounted", "UUID u-2"),
        ),
        (_DEVICE, _BLANK, "", True, "settings.volume_too_late", "its own disk"),
        (
            *(_DEVICE, VolumeState(True, docker_volumes=("a", "b")), "", False),
            *("settings.volume_hides", "(a, b)"),
        ),
    ],
)
def test_a_volume_that_would_lose_or_hide_data_is_refused(
    device: str, state: VolumeState, of_host: str, deployed: bool, code: str, fact: str
) -> None:
    with pytest.raises(UserError) as refusal:
        refuse_volume(device, state, of_host=of_host, deployed=deployed)
    assert refusal.value.code == code
    assert refusal.value.ends_run
    assert "'data_volume'" in str(refusal.value)
    assert fact in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_attached_empty_volume_is_refused_before_a_first_deploy_without_it() -> None:
    with pytest.raises(Refused) as refusal:
        refuse_volume("", VolumeState(), of_host="", deployed=False, spare=_DEVICE)
    assert refusal.value.code == "refused.data_volume"
    assert _DEVICE in str(refusal.value)
    refuse_volume("", VolumeState(), of_host="", deployed=True, spare=_DEVICE)
    refuse_volume(_DEVICE, _BLANK, of_host="", deployed=False, spare=_DEVICE)

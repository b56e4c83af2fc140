"""The volume that holds Infisical's data, if there is one, before Docker is there."""

from pyinfra.api.deploy import deploy

from infisical_iac.host.engine import not_ours
from infisical_iac.host.preflight import Preflight
from infisical_iac.operations import volume


@deploy("Data volume")
def data_volume(known: Preflight) -> None:
    """Have data, keys and backups on the volume that the setting data_volume names."""
    # Where the engine is others', no volume would do, and one that is there is their affair.
    spare = "" if not_ours(known.settings, known.machine) else known.machine.spare_volume
    volume.mounted(
        device=known.settings.data_volume,
        of_host=known.machine.data_volume,
        deployed=known.machine.deployed,
        spare=spare,
        name="Keep the data on the data volume",
    )

"""Write bills of materials in CycloneDX: a package, and all that it needs to run."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tests.release.locks import Locked

# Serial numbers are names in this space, so that two builds have the same.
_SPACE = uuid.uuid5(uuid.NAMESPACE_OID, "infisical-iac")


def write_bill(
    *,
    kind: str,
    name: str,
    version: str,
    license_id: str,
    roots: Iterable[str],
    packages: Mapping[str, Locked],
    epoch: int,
) -> str:
    """Return the bill of a package as JSON; the same arguments give the same text.

    Args:
        kind: the type of its package URL, such as `pypi`.
        roots: the keys of the packages that it needs directly.
        packages: all that it needs, by key.
        epoch: the time of the commit, in seconds since 1970.
    """
    subject = _component(kind, Locked("", name, version, license=license_id))
    components = {key: _component(kind, each) for key, each in packages.items()}
    serial = uuid.uuid5(_SPACE, "\n".join([f"{kind} {name} {version} {epoch}", *packages]))
    time = datetime.fromtimestamp(epoch, UTC)
    bom = Bom(
        serial_number=serial,
        metadata=BomMetaData(component=subject, timestamp=time),
        components=components.values(),
    )
    bom.register_dependency(subject, [components[key] for key in roots])
    for key, each in packages.items():
        bom.register_dependency(components[key], [components[need] for need in each.needs])
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return f"{text}\n"


def find_errors(text: str) -> str:
    """Return why a bill does not comply with the schema; empty if it does."""
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return str(found) if found else ""


def _component(kind: str, package: Locked) -> Component:
    namespace, _, name = package.name.rpartition("/")
    url = PackageURL(kind, namespace or None, name, package.version)
    marker = [Property(name="infisical-iac:marker", value=package.marker)]
    licenses = [LicenseFactory().make_from_string(package.license)] if package.license else []
    hashes = [HashType(alg=HashAlgorithm(name), content=text) for name, text in package.hashes]
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        group=namespace or None,
        version=package.version,
        purl=url,
        bom_ref=package.key or url.to_string(),
        hashes=hashes if len(hashes) == 1 else (),
        properties=marker if package.marker else (),
        licenses=licenses,
    )

"""Encrypting a kit into a sheet, and opening one."""

from collections.abc import Sequence

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infisical_iac.backup import kit_sheet, signing
from infisical_iac.backup.kit import Kit, KitError, Opened, pack, unpack
from infisical_iac.backup.recipients import Identity, Recipient


def seal(
    kit: Kit, to: Sequence[Recipient], key: Ed25519PrivateKey, known: Sequence[Identity] = ()
) -> str:
    """Return the sheet of a kit, signed by `key`, which has been opened again.

    It is opened with a key that is made for this proof and then forgotten, and with `known`, the
    recipients' own, if they are given; its header must have a line for each recipient.

    Raises KitError if it can't be opened, or not by `known`.
    """
    proof = pyrage.x25519.Identity.generate()
    packed = pack(kit, key)
    signer = signing.fingerprint(key.public_key())
    armor = pyrage.encrypt(packed, [*(each.key for each in to), proof.to_public()], armored=True)
    text = kit_sheet.render(kit, armor.decode(), signer)
    wanted = sorted([*(each.stanza for each in to), "X25519"])
    back = pyrage.decrypt(kit_sheet.armor(text), [proof])
    if kit_sheet.stanzas(text) != wanted or back != packed or unpack(back) != Opened(kit, signer):
        raise KitError("the kit can't be read back as it was encrypted: nothing was written")
    if known:
        _decrypt(text, known)
    return text


def open_sheet(text: str, identities: Sequence[Identity]) -> Opened:
    """Return the kit in the text of a file, and who signed it.

    Raises a UserError if the text is no sheet, was damaged or altered, is for others than
    `identities`, or has files that no kit has.
    """
    return unpack(_decrypt(text, identities))


def _decrypt(text: str, identities: Sequence[Identity]) -> bytes:
    armor = kit_sheet.armor(text)
    try:
        return pyrage.decrypt(armor, identities)
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise KitError(
                "the kit is not encrypted for the key in the identity file: it names its "
                "recipients in its first lines"
            ) from None
        raise KitError(
            "the kit was damaged: compare each line from BEGIN to END with another copy"
        ) from None

"""Encrypting a kit into a sheet, and opening one."""

from collections.abc import Sequence

import pyrage

from infisical_iac.recovery import sheet
from infisical_iac.recovery.kit import Kit, KitError, pack, unpack
from infisical_iac.recovery.recipients import Identity, Recipient


def seal(kit: Kit, to: Sequence[Recipient], known: Sequence[Identity] = ()) -> str:
    """The sheet of a kit, which has been opened again: the recipients will get back all of it.

    It is opened with a key that is made for this proof and then forgotten, and with `known`, the
    recipients' own, if they are given; its header must have a line for each recipient.

    Raises KitError if it can't be opened, or not by `known`.
    """
    proof = pyrage.x25519.Identity.generate()
    packed = pack(kit)
    armor = pyrage.encrypt(packed, [*(each.key for each in to), proof.to_public()], armored=True)
    text = sheet.render(kit, armor.decode())
    wanted = sorted([*(each.stanza for each in to), "X25519"])
    if sheet.stanzas(text) != wanted or pyrage.decrypt(sheet.armor(text), [proof]) != packed:
        raise KitError("the kit can't be read back as it was encrypted: nothing was written")
    if known:
        _decrypt(text, known)
    return text


def open_sheet(text: str, identities: Sequence[Identity]) -> Kit:
    """The kit in the text of a file.

    Raises KitError if the text is no sheet, was damaged, or is for others than `identities`.
    """
    return unpack(_decrypt(text, identities))


def _decrypt(text: str, identities: Sequence[Identity]) -> bytes:
    armor = sheet.armor(text)
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

"""Decide which kits are believed: those of this deployment, by its signing key's fingerprint."""

from dataclasses import dataclass

from infisical_iac.core.errors import FileError

SETTING = "recovery_fingerprint"
_NOTED = (
    "its fingerprint was printed when the kit was made, and is on each kit that was made since; "
    "don't take it from the kit that you were given"
)


@dataclass(frozen=True)
class KnownFingerprints:
    """The fingerprints that are known of the deployment's signing key; empty where none is.

    Attributes:
        given: what the command was told.
        setting: `recovery_fingerprint`.
        own: that of the host's own key.
        unsigned: whether a kit without a signature may be used, of the version before.
    """

    given: str = ""
    setting: str = ""
    own: str = ""
    unsigned: bool = False


def check(signer: str, known: KnownFingerprints) -> bool:
    """Raise FileError for a kit whose `signer` is another key than the deployment's, or nobody.

    Returns whether somebody has to be asked, since nothing is known of the key.
    """
    if not signer:
        _check_unsigned(known)
        return False
    for expected, whose in (
        (known.given, "--fingerprint is"),
        (known.setting, f"setting {SETTING!r} is"),
        (known.own, "the host's own key is"),
    ):
        if expected and expected != signer:
            raise FileError(
                f"the kit is signed by {signer}, and {whose} {expected}: somebody else may have "
                "made it, and nothing of it was used; if this deployment made it with another "
                "signing key, give the fingerprint of that one with --fingerprint"
            )
        if expected:
            return False
    return True


def _check_unsigned(known: KnownFingerprints) -> None:
    if not known.unsigned:
        raise FileError(
            "the kit has no signature, for it was made by a version before: nobody can tell who "
            "made it; make a new one if the host is there, else use it with --accept-unsigned-kit "
            "if it never left your hands"
        )
    if known.given:
        raise FileError("the kit has no signature, so that no --fingerprint can be compared")


def refuse_another(signer: str, *, setting: str) -> None:
    """Refuse to make a kit that a restore with these settings would not take. Raises FileError."""
    if setting and setting != signer:
        raise FileError(
            f"the host signs kits by {signer}, and setting {SETTING!r} is {setting}: if its key "
            "was made anew on purpose, set it to the first"
        )


def question(signer: str) -> str:
    """Return what is asked where nothing is known of the key."""
    return (
        f"The kit is signed by {signer}.\nCompare it: {_NOTED}.\n"
        "Is it the fingerprint of this deployment?"
    )


def refuse_unasked(signer: str) -> FileError:
    """Return the error for a kit of an unknown key where nobody can be asked."""
    return FileError(
        f"the kit is signed by {signer}, and nothing tells that this is the deployment's key: "
        f"give the fingerprint that was noted with --fingerprint, or as the setting {SETTING!r}; "
        f"{_NOTED}"
    )


def row_text(signer: str, setting: str) -> tuple[str, bool]:
    """Return what the status says of the key that signed the last kit, and whether it is well."""
    if not signer:
        return "", True
    if setting and setting != signer:
        return f", signed by {signer}, but setting {SETTING!r} is {setting}", False
    return f", signed by {signer}", True

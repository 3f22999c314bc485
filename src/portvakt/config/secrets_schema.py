"""A reference to a secret, as plain data: where it is, never what it is."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["SOURCES", "SecretTable"]

#: Where a secret can be: a reference names exactly one.
SOURCES: Final = ("env", "file", "keystore")

_Text = Annotated[str, Meta(min_length=1)]


class SecretTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one secret or private key is: exactly one of the three is stated.

    There is no setting that holds the secret itself: a policy file is read by many, kept in version
    control and shown in reviews.
    """

    env: Annotated[
        _Text | UnsetType,
        Meta(description="The name of the environment variable that holds it."),
    ] = UNSET
    file: Annotated[
        _Text | UnsetType,
        Meta(
            description="The file that holds it, relative to this one. Others must not be able to "
            "read it."
        ),
    ] = UNSET
    keystore: Annotated[
        _Text | UnsetType,
        Meta(description="The name of the entry of the key store that holds it."),
    ] = UNSET

    @property
    def source(self) -> str:
        """Return which of the three is stated; the first, should it be more, and "" for none."""
        return next((name for name in SOURCES if getattr(self, name) is not UNSET), "")

    # Somebody will write the secret itself where its name belongs, so neither repr shows a name
    # (msgspec gives rich one of its own).
    def __repr__(self) -> str:
        """Show where the secret is, not under which name."""
        return f"SecretTable(source={self.source!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """Show to rich what repr shows."""
        return [("source", self.source)]

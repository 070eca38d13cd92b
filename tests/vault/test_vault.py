"""Secrets at rest (`esc_daemon.vault`)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.vault import MARK, Vault, VaultError, is_sealed, new_key

VAULT = Vault(bytes(range(64)))


@given(text=st.text(), place=st.text())
def test_what_is_sealed_is_opened_at_its_place(text: str, place: str) -> None:
    """Any text, any place."""
    sealed = VAULT.seal(text, place)
    assert is_sealed(sealed)
    assert VAULT.unseal(sealed, place) == text


@given(text=st.text(min_size=1))
def test_sealed_text_shows_nothing_and_repeats(text: str) -> None:
    """The same text is sealed to the same, so that sending it again is no change."""
    sealed = VAULT.seal(text, "here")
    assert sealed == VAULT.seal(text, "here")
    assert sealed != VAULT.seal(text, "there")


def test_sealed_text_cannot_be_opened_elsewhere_or_by_another_key() -> None:
    """A row that was copied to another place is refused, and so is a wrong key."""
    sealed = VAULT.seal("secret", "connector a")
    with pytest.raises(VaultError, match="connector b"):
        VAULT.unseal(sealed, "connector b")
    with pytest.raises(VaultError, match="another key or damaged"):
        Vault(new_key()).unseal(sealed, "connector a")


@pytest.mark.parametrize("damaged", ["plain", MARK + "%%%", MARK + "AAAA", MARK + "é"])
def test_damage_is_an_error_that_does_not_show_the_text(damaged: str) -> None:
    """Nor does the error of text that was never sealed."""
    with pytest.raises(VaultError) as caught:
        VAULT.unseal(damaged, "place")
    assert damaged not in str(caught.value)


def test_a_key_of_another_length_is_refused() -> None:
    """A cut key file must not become a weak key."""
    with pytest.raises(VaultError, match="32 bytes, not 64"):
        Vault(bytes(32))

"""What may be shown of an identifier, and what may not."""

import hmac
from base64 import urlsafe_b64encode

import pytest
from rich.pretty import pretty_repr

from portvakt import ConfigurationError
from portvakt.policy.identifiers import (
    ForeignIdentifier,
    HprNumber,
    OrganisationNumber,
    PersonNumber,
    parse_hpr_number,
    parse_iso6523,
    parse_organisation_number,
    parse_person_number,
)
from portvakt.policy.pseudonym import Pseudonyms, mask

KEY = bytes(range(32))
Identifier = PersonNumber | OrganisationNumber | HprNumber | ForeignIdentifier


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("17912099997", "17*********"),
        ("57912075186", "57*********"),
        ("88888888831", "88*********"),
        ("912159523", "91*******"),
        ("009144900", "00*******"),
        ("9144900", "***"),
        ("12", "***"),
        ("", "***"),
        ("179120 99997", "***"),
        ("1791209999", "***"),
        ("179120999970", "***"),
        ("１７９１２０９９９９７", "***"),
        ("²²²²²²²²²", "***"),
        ("Kari Nordma", "***"),
        ("SE/NO/191212121212", "***"),
        ("0192:991825827", "***"),
        ("\x1b[31m17912", "***"),
    ],
)
def test_a_mask_shows_a_day_and_nothing_else(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_a_pseudonym_is_the_first_half_of_a_keyed_hash_of_kind_and_number() -> None:
    pseudonyms = Pseudonyms(KEY)
    cases: list[tuple[Identifier, bytes]] = [
        (parse_person_number("17912099997"), b"tenor-synthetic\x0017912099997"),
        (parse_organisation_number("912159523"), b"organisation-number\x00912159523"),
        (parse_hpr_number("009144900"), b"hpr-number\x009144900"),
        (ForeignIdentifier("SE/NO/191212121212"), b"foreign\x00SE/NO/191212121212"),
    ]
    for identifier, message in cases:
        reference = urlsafe_b64encode(hmac.new(KEY, message, "sha256").digest()[:16])
        assert pseudonyms.of(identifier) == reference.decode().rstrip("=")
        assert len(pseudonyms.of(identifier)) == 22


def test_equal_numbers_have_one_pseudonym_however_they_came() -> None:
    pseudonyms = Pseudonyms(KEY)

    assert pseudonyms.of(parse_hpr_number("9144900")) == pseudonyms.of(
        parse_hpr_number("009144900")
    )
    assert pseudonyms.of(parse_iso6523("0192:991825827")) == pseudonyms.of(
        parse_organisation_number("991825827")
    )


def test_another_kind_or_key_or_number_has_another_pseudonym() -> None:
    person = parse_person_number("17912099997")
    others: list[Identifier] = [
        parse_person_number("57912075186"),
        OrganisationNumber("17912099997"),
        HprNumber("17912099997"),
        ForeignIdentifier("17912099997"),
    ]
    seen = {Pseudonyms(KEY).of(person), Pseudonyms(KEY[::-1]).of(person)}
    seen |= {Pseudonyms(KEY).of(other) for other in others}

    assert len(seen) == 6


@pytest.mark.parametrize("key", [b"", b"kanari", KEY[:31], KEY.decode(), bytearray(KEY), None])
def test_a_key_that_is_short_or_no_octets_is_a_mistake(key: bytes) -> None:
    with pytest.raises(ConfigurationError, match="at least 32 octets") as error:
        Pseudonyms(key)
    assert error.value.problems[0].place == "pseudonym_key"
    assert "kanari" not in str(error.value)


def test_a_key_may_be_longer() -> None:
    assert len(Pseudonyms(KEY * 3).of(parse_person_number("17912099997"))) == 22


def test_the_key_is_not_shown() -> None:
    pseudonyms = Pseudonyms(b"kanari" * 6)
    assert "kanari" not in f"{pseudonyms!r} {pseudonyms} {pretty_repr(pseudonyms)}"

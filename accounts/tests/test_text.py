import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.text import UNPRINTABLE, clean_text

# Text that includes lone surrogates and control characters, and pieces that a parser reacts to.
any_text = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("Ana's phone", "Ana's phone"),
        ("  Ana's  phone  ", "Ana's  phone"),
        ("a\x00b\tc\r\nd\x7fe\x9bf", "abcdef"),
        ("gnp.\u202ecod\u202c", "gnp.cod"),
        ("\u2066a\u2069\u200eb\u200f\u061cc", "abc"),
        ("a\u2028b\u2029c", "abc"),
        ("a\ud800b\udfffc", "abc"),
        ("\x1b[31mred", "[31mred"),
        ("日本 📱 élan", "日本 📱 élan"),
        ("\x00 \x00", ""),
        ("abcdefghijkl", "abcdefghij"),
        ("abcdefghi jkl", "abcdefghi"),
        ("", ""),
    ],
)
def test_text_is_cleaned(value, cleaned):
    assert clean_text(value, 12 if "Ana" in value else 10) == cleaned


@given(any_text, st.integers(min_value=0, max_value=80))
def test_clean_text_is_short_printable_and_stays_so(value, max_length):
    cleaned = clean_text(value, max_length)

    assert len(cleaned) <= max_length
    assert cleaned == cleaned.strip()
    assert not UNPRINTABLE.search(cleaned)
    assert cleaned.encode().decode() == cleaned
    assert clean_text(cleaned, max_length) == cleaned

"""Whatever people are called: what was written is read back the same, and nonsense is refused in a line."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from examples.finger.people_csv import FileRefused, PeopleReader, write
from examples.finger.records import FIELDS

# All that UTF-8 can say, but NUL; and more often what CSV, spreadsheets and line ends make something of.
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.text(st.sampled_from("\",;\t\r\n'=+-@ \ufeff\u2028\x1aé🙂a")),
)
people = st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, texts)), max_size=5)


@given(people)
def test_what_was_written_is_read_back(people: list[dict[str, str]]) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        data = mark + write([], header=True) + write(people)
        assert [row.values for row in PeopleReader(io.BytesIO(data))] == people


@given(people)
def test_what_was_read_back_is_written_the_same(people: list[dict[str, str]]) -> None:
    data = write(people, header=True)
    again = write([row.values for row in PeopleReader(io.BytesIO(data))], header=True)
    assert again == data


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_people_or_refused(data: bytes, header: bool) -> None:
    refused = ""
    rows = []
    try:
        rows = list(PeopleReader(io.BytesIO((b"login,name\n" if header else b"") + data)))
    except FileRefused as error:
        refused = str(error)
    assert "\n" not in refused
    assert all(set(row.values) == set(FIELDS) for row in rows)

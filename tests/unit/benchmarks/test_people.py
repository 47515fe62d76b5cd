"""The table that is read, and the questions about it."""

from __future__ import annotations

import pytest

from benchmarks.people import QUESTIONS, ROWS, WrongAnswer, check, people, questions, statement


def test_each_person_is_asked_for_once_before_any_is_again() -> None:
    assert len({name for name, _ in QUESTIONS}) == len(QUESTIONS) == ROWS
    asked = list(questions(ROWS + 2))
    assert asked[ROWS:] == asked[:2]


def test_the_expected_answer_is_what_is_in_the_table() -> None:
    table = {name: [(full_name, plan)] for name, full_name, plan in people()}
    assert all(table[name] == expected for name, expected in QUESTIONS)


def test_a_statement_has_the_placeholder_of_its_driver() -> None:
    assert statement("psycopg2").endswith("WHERE name = %s")
    assert statement("sqlite3", update=True).startswith("UPDATE users SET visits = visits + 1 WHERE name = ?")


@pytest.mark.parametrize("rows", [[], [("User Number 1", "another plan")], [("a", "b"), ("a", "b")]])
def test_an_answer_is_right_only_if_it_is_what_is_in_the_table(rows: list[tuple[str, str]]) -> None:
    check([("a", "b")], [("a", "b")])
    with pytest.raises(WrongAnswer):
        check(rows, [("a", "b")])

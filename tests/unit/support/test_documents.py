"""Markdown as doctests: tests/support/documents.py."""

from __future__ import annotations

import doctest


def test_a_closing_fence_is_not_expected_output() -> None:
    markdown = "```python\n>>> x = 1\n```\nand\n\n```python\n>>> x + 1\n2\n```\n"
    first, second = doctest.DocTestParser().get_examples(markdown)
    assert (first.source, first.want) == ("x = 1\n", "")
    assert (second.source, second.want, second.lineno) == ("x + 1\n", "2\n", 6)

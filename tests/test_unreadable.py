"""A file of which nothing can be read."""

from __future__ import annotations

import pytest

from tests.conftest import Project


@pytest.mark.parametrize(
    ("source", "file"), [("amod_counseling", "combined_dataset.json"), ("psych_101", "prompts_training.jsonl")]
)
def test_a_file_of_which_no_row_can_be_read_is_refused_in_words(project: Project, source: str, file: str) -> None:
    project.raw(source, {file: '{"a": 1}\n'.encode("utf-16")})
    done = project.run("normalize", source, code=1)
    assert "Traceback" not in done.stderr and "of 2 rows" in done.stderr

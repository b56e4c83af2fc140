"""Share fixtures between the tests of the stack."""

import pytest


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answer each question for a name with `another`; return the questions."""
    questions: list[str] = []

    def answer(text: str, **_: object) -> str:
        questions.append(f"{text}: ")
        return "another"

    monkeypatch.setattr("click.prompt", answer)
    return questions

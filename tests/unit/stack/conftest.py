"""Share fixtures between the tests of the stack."""

import pytest


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answer each question for a name with `another`; return the questions."""
    questions: list[str] = []

    def answer(question: str, *_: object, **__: object) -> str:
        questions.append(f"{question}: ")
        return "another"

    monkeypatch.setattr("infisical_iac.core.terminal.prompt", answer)
    return questions

"""A value that is searched for in a repository, for tests."""

from pathlib import Path

from infisical_iac.migrate.history import Hit, Searched, search
from infisical_iac.migrate.search_terms import SearchTerms
from tests.unit.migrate.repository import Repository

VALUE = "fake-Secret/0f9a+b1c"
NEEDLES = SearchTerms({"backend API_KEY": VALUE})


def create_repository(path: Path) -> Repository:
    """A repository with a commit in which there is nothing."""
    made = Repository.create(path)
    made.commit("README", "Nothing here\n")
    return made


def look(repository: Repository) -> Searched:
    """Return what a search for the value finds."""
    return search(repository.path, NEEDLES)


def only(repository: Repository) -> Hit:
    """The one place where the value is."""
    [hit] = look(repository).hits
    return hit


def span(hit: Hit) -> tuple[int, str, str]:
    """In how many commits it is, and in which first and last."""
    assert hit.place is not None
    return hit.place.commits, hit.place.first.name, hit.place.last.name

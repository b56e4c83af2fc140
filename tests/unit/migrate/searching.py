"""Search a repository for a value, for the tests of `infisical-iac migrate history`."""

from pathlib import Path

from infisical_iac.migrate.history import Hit, Searched, search
from infisical_iac.migrate.search_terms import SearchTerms
from tests.unit.migrate.repository import Repository

VALUE = "fake-Secret/0f9a+b1c"
NEEDLES = SearchTerms({"backend API_KEY": VALUE})


def create_repository(path: Path) -> Repository:
    """Return a repository with one commit, without the value."""
    made = Repository.create(path)
    made.commit("README", "Nothing here\n")
    return made


def run_search(repository: Repository) -> Searched:
    """Return what a search for the value finds."""
    return search(repository.path, NEEDLES)


def find_only_hit(repository: Repository) -> Hit:
    """Return the only place where a search finds the value."""
    [hit] = run_search(repository).hits
    return hit


def get_span(hit: Hit) -> tuple[int, str, str]:
    """Return the number of commits with a hit, and the hashes of the first and the last."""
    assert hit.place is not None
    return hit.place.commits, hit.place.first.name, hit.place.last.name

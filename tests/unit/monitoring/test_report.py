"""Test the pages of `status` and `plan`: their parts, and that they show no secret."""

from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from infisical_iac.core.change import Row
from infisical_iac.monitoring.model import ValueRow, ValueSurvey
from infisical_iac.monitoring.report import StatusReport, _Run, chart, status_page
from tests.unit.pages import HOSTILE, LOGIN, NOW, build_plan_page, build_report, build_rows


class _Text(HTMLParser):
    """Collect the tags, the addresses that attributes load, and the text of headings by kind."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.headings: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [name for name, _ in attrs if name in ("src", "href") or name[:2] == "on"]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "h2" and data.strip():
            self.headings.append(data.strip())


@pytest.fixture(scope="module")
def status() -> str:
    return status_page(build_report(), build_rows())


@pytest.fixture(scope="module")
def plan() -> str:
    return build_plan_page()


def test_pages_load_nothing_and_escape_names(status: str, plan: str) -> None:
    for page in (status, plan):
        text = _Text(page)
        assert text.loaded == []
        assert {"script", "link", "img", "iframe"}.isdisjoint(text.tags)
        assert "url(" not in page
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


def test_pages_mask_the_login_in_an_address(status: str, plan: str) -> None:
    for page in (status, plan):
        assert LOGIN not in page
        assert "https://***@" in page


def test_control_characters_are_shown_escaped() -> None:
    page = status_page(StatusReport("acme", NOW), [Row("Disk", "\x1b[31mfull", ok=False)])
    assert "\x1b" not in page
    assert "x1b[31mfull" in page


def test_a_status_has_all_parts(status: str) -> None:
    assert [each.split()[0] for each in _Text(status).headings] == [
        *("Versions", "Credentials", "Backups", "Who", "Last"),
    ]


def test_a_status_without_facts_has_only_its_rows() -> None:
    page = status_page(StatusReport("acme", NOW), [Row("Infisical", "no answer", ok=False)])
    assert _Text(page).headings == []
    assert "no answer" in page


def test_secrets_are_listed_by_name_only_if_they_were_surveyed(status: str) -> None:
    assert "Secrets" not in _Text(status).headings
    row = ValueRow("backend", "production", "weak-value", (HOSTILE, "TOKEN"))
    report = replace(build_report(), values=ValueSurvey([row], ["a note"]))
    page = status_page(report, build_rows())
    assert "Secrets" in _Text(page).headings
    assert HOSTILE not in page
    for fact in ("TOKEN</td>", "<td>production</td><td>2</td>", "a note"):
        assert fact in page


def test_a_survey_without_a_problem_is_healthy() -> None:
    report = replace(build_report(), values=ValueSurvey([], []))
    page = status_page(report, [])
    assert "Secrets" in _Text(page).headings
    assert "no key is missing" in page


def test_unhealthy_rows_come_first_with_their_remedies() -> None:
    rows = [Row("Disk", "enough"), Row("Drift", "~ a; ~ b", ok=False)]
    page = status_page(StatusReport("acme", NOW), rows)
    assert page.index("~ a; ~ b") < page.index("enough")
    assert "apply</code> repairs" in page
    rows = [Row("Drift", "can't be determined: `infisical-iac verify`", ok=False)]
    assert "repairs" not in status_page(StatusReport("acme", NOW), rows)


def test_versions_show_the_actual_the_desired_and_the_newest_one(status: str) -> None:
    for version in ("v0.165.15", "v0.165.16", "17.12"):
        assert version in status


def test_credentials_that_end_come_before_the_others(status: str) -> None:
    order = ["ends 2026-12-05", "ends 2027-02-13", "Without an end: backend.development"]
    assert sorted(order, key=status.index) == order


def test_a_long_run_is_cut(status: str) -> None:
    assert status.count("~ /etc/file-") == 8
    assert "4 more" in status
    assert "<code>run again</code>" in status


def test_charts_show_each_run_and_the_last_failure(status: str) -> None:
    for fact in ("<p>39 of 40 runs", "<p>2 of 2 runs", "box: no route"):
        assert fact in status
    assert status.count('<rect class="failed" x=') == 1


def _runs(*days: float, failed: float = -1) -> list[_Run]:
    return [
        _Run(NOW - timedelta(each), each, f"{each} MB", "no route" if each == failed else "")
        for each in days
    ]


def test_a_chart_places_runs_by_their_time() -> None:
    found = chart("Backups", _runs(20, 10, 0.0), NOW, 90)
    assert found
    first, second, last = found.bars
    assert (first.x, first.height) == (0, 100)
    assert last.x + last.width == pytest.approx(100)
    assert second.x + second.width / 2 == pytest.approx(50, abs=0.1)
    assert second.height == 50
    assert last.height > 0


def test_a_failed_run_has_full_height_and_its_reason() -> None:
    found = chart("Backups", _runs(20, 10, failed=10), NOW, 90)
    assert found
    assert (found.bars[1].height, found.bars[1].ok) == (100, False)
    assert found.bars[1].title.endswith("no route")


@pytest.mark.parametrize("days", [(), (91,), (-1,)])
def test_there_is_no_chart_without_runs_in_its_days(days: tuple[float, ...]) -> None:
    assert chart("Backups", _runs(*days), NOW, 90) is None


def test_a_host_of_an_earlier_release_has_its_last_runs() -> None:
    report = build_report()
    page = status_page(replace(report, histories={}), [])
    assert page.count("<p>1 of 1 run") == 2


def test_a_plan_has_its_parts_in_the_order_of_their_weight(plan: str) -> None:
    assert [each.split()[0] for each in _Text(plan).headings] == [
        *("Restarts", "Notes", "Blocked", "Docker", "Workspace", "Not", "Orphans:", "Access"),
    ]
    assert "3 changes to make" in plan

"""`python -m tests.reference`: write the generated pages; with --check, compare them only."""

import sys
from collections.abc import Callable
from pathlib import Path

from tests.reference import alerts, commands, errors, settings, variables

_PAGES: dict[Path, Callable[[], str]] = {
    settings.PATH: settings.write,
    commands.PATH: commands.write,
    errors.PATH: errors.write,
    variables.PATH: variables.write,
    alerts.PATH: alerts.write,
    alerts.RULES: alerts.write_rules,
    alerts.RULE_TESTS: alerts.write_rule_tests,
}


def main() -> None:
    """Write the pages, or end the program with the names of those that are stale."""
    texts = {path: write() for path, write in _PAGES.items()}
    stale = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit(f"{' and '.join(map(str, stale))}: stale, run `make docs`")
        return
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path])
        print(f"Wrote {path}")


if __name__ == "__main__":
    main()

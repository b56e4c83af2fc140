"""Record the runs of a timer, such as backups, and report those that fail."""

import json
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infisical_iac.agent.files import write
from infisical_iac.agent.runner import Failure, Runner, explain

_WEBHOOK = "/etc/infisical/backup/webhook"
# node_exporter, as Debian and Ubuntu package it, reads metrics from files in this directory.
_COLLECTOR = "/var/lib/prometheus/node-exporter"
_MOST_CHARACTERS = 400
_MOST_RUNS = 400


def plain(text: str) -> str:
    """Return a text as one short line of printable ASCII characters, without quotation marks."""
    line = " ".join(text.replace('"', "'").replace("\\", "/").split())
    return "".join(each for each in line if " " <= each <= "~")[:_MOST_CHARACTERS]


def utc(seconds: float) -> str:
    """Return a time in seconds since the epoch as ISO 8601."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def attempt(work: Callable[[], object]) -> str:
    """Do a part of a run; return the reason of a failure in one line, or an empty text.

    The reason is printed for the journal too.
    """
    try:
        work()
    except Exception as error:  # the run must go on, and report it
        reason = describe_failure(error)
        print(reason, file=sys.stderr, flush=True)
        return plain(reason) or "it ended without a reason"
    return ""


def describe_failure(error: Exception) -> str:
    """Return the reason of a failure, without a text that may hold a secret."""
    if isinstance(error, RuntimeError) and isinstance(error.args[0], Failure):
        return explain(error)
    if isinstance(error, OSError):
        return ": ".join(filter(None, (error.strerror, error.filename and str(error.filename))))
    return f"the agent failed: {type(error).__name__}"


@dataclass(frozen=True)
class Metric:
    """A metric of a run: its name without the prefix, its description, and its values by label.

    The label is such as `{target="local"}`, or empty.
    """

    name: str
    description: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class RunRecords:
    """The records of a timer's runs, in a folder of its own.

    The folder has last.json, history.jsonl and metrics.prom, and during a run `running`, with its
    time.

    Attributes:
        folder: such as `/var/lib/infisical-backup`.
        metrics: the prefix of the metrics' names.
    """

    runner: Runner
    folder: str
    metrics: str

    @property
    def is_running(self) -> bool:
        """Return whether a run has begun, and has not recorded its end."""
        return self.runner.path(f"{self.folder}/running").exists()

    @property
    def last(self) -> dict[str, Any]:
        """Return the record of the last run; empty if it can't be read."""
        try:
            found = json.loads(self.runner.text(f"{self.folder}/last.json") or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def begin(self) -> None:
        """Note that a run has begun. Raises OSError."""
        write(self.runner.path(f"{self.folder}/running"), f"{int(time.time())}\n".encode())

    def read_beginning(self) -> int:
        """Return when the run began, in seconds since the epoch; now if that is unknown."""
        text = (self.runner.text(f"{self.folder}/running") or "").strip()
        return int(text) if text.isdecimal() else int(time.time())

    def conclude(self, record: Mapping[str, Any], metrics: Sequence[Metric]) -> None:
        """Record the end of a run. Raises OSError."""
        line = f"{json.dumps(record)}\n"
        write(self.runner.path(f"{self.folder}/last.json"), line.encode())
        self.add_to_history(line)
        self._publish("".join(map(self._render, metrics)))
        self.runner.path(f"{self.folder}/running").unlink(missing_ok=True)

    def add_to_history(self, line: str) -> None:
        """Append a record to the history, which keeps the last 400 runs for `status --html`.

        Without free space the history stays as it is, since a run must not fail for it.
        """
        path = f"{self.folder}/history.jsonl"
        lines = [*(self.runner.text(path) or "").splitlines(keepends=True), line]
        with suppress(OSError):
            write(self.runner.path(path), "".join(lines[-_MOST_RUNS:]).encode())

    def _render(self, metric: Metric) -> str:
        name = f"{self.metrics}_{metric.name}"
        lines = [f"# HELP {name} {metric.description}", f"# TYPE {name} gauge"]
        lines += [f"{name}{label} {value}" for label, value in metric.values.items()]
        return "".join(f"{each}\n" for each in lines)

    def _publish(self, text: str) -> None:
        """Write the metrics to the directories that monitoring reads."""
        write(self.runner.path(f"{self.folder}/metrics.prom"), text.encode())
        collector = self.runner.path(_COLLECTOR)
        if collector.is_dir():
            write(collector / f"{self.metrics}.prom", text.encode(), mode=0o644)


def report_failure(runner: Runner, what: str, state: str) -> int:
    """Report a failed run to the journal and, if there is one, to the webhook.

    Args:
        what: the run, which begins the sentence.
        state: the folder with its `last.json`, and with `running` if it was interrupted.

    Returns the status of the request to the webhook.
    """
    records = RunRecords(runner, state, "")
    interrupted = "the run was interrupted"
    reason = interrupted if records.is_running else str(records.last.get("failure", ""))
    host = socket.gethostname()
    text = f"{what} on {host} failed: {reason}"
    print(f"<3>{text}", file=sys.stderr)
    if not (runner.text(_WEBHOOK) or ""):
        return 0
    # The webhook's file has curl's options, with its address, which may be a secret.
    post = ["curl", "--config", str(runner.path(_WEBHOOK)), "--silent", "--show-error", "--fail"]
    post += ["--output", "/dev/null", "--max-time", "20", "--retry", "3"]
    post += ["--header", "Content-Type: application/json", "--data-binary", "@-"]
    body = json.dumps({"text": text, "of": host, "at": utc(time.time()), "error": reason})
    done = runner.run(post, stdin=body)
    if done.errors:
        print(done.errors.strip(), file=sys.stderr)
    return done.status

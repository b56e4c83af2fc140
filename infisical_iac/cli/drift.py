"""`infisical-iac drift`: report the plan to a webhook and to Prometheus."""

import os
import subprocess
import sys
import time
from pathlib import Path

import click

from infisical_iac.cli.options import FOUND, LocalPath, inventory_option, json_option
from infisical_iac.cli.output import print_notes
from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.monitoring.drift import check, message, metrics, post


@click.command()
@inventory_option
@json_option
@click.option(
    "--webhook-file",
    type=LocalPath(exists=True, dir_okay=False),
    help="File with the webhook's address; drift and errors are posted there. [default: the "
    "address in INFISICAL_IAC_WEBHOOK]",
)
# 0.3 removes this option.
@click.option("--webhook", hidden=True)
@click.option(
    "--textfile",
    type=LocalPath(dir_okay=False),
    help="Write metrics for node_exporter's textfile collector to this file, such as "
    "…/infisical_iac.prom.",
)
@click.option("--watch", is_flag=True, help="Repeat the check until interrupted.")
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=900,
    show_default=True,
    help="Seconds between two checks with --watch.",
)
@click.pass_context
def drift(
    ctx: click.Context,
    inventory: str,
    as_json: bool,
    webhook_file: Path | None,
    webhook: str | None,
    textfile: Path | None,
    watch: bool,
    every: int,
) -> None:
    """Compare the host and Infisical with the declared state, and report differences to a webhook
    and to Prometheus.

    Nothing is changed. Run a single check from a systemd timer or a CI job, as in examples/drift;
    --watch repeats it. Access that the project file does not grant (`*`) is drift too.

    Exit status: 0 if all is as declared; 2 for drift; 1 for an error, or if a part of the deploy is
    blocked.
    """
    if webhook:
        note = (
            "everybody who can list this machine's processes sees --webhook URL, and a later "
            "release removes it: set INFISICAL_IAC_WEBHOOK, or give --webhook-file"
        )
        print_notes([note])
    webhook = webhook or _webhook(webhook_file)
    if watch:
        _watch(every)
    answer = check(inventory)
    if as_json:
        print_data(message(answer), indent=None)
    else:
        echo(answer.sentence)
        print_notes(answer.notes)
    if textfile:
        with atomic.explain_failure(textfile):
            atomic.write(textfile, metrics(answer), mode=0o644)
    if webhook and not answer.is_as_declared:
        post(webhook, answer)
    ctx.exit(1 if answer.error or answer.blocked_parts else 0 if answer.is_as_declared else FOUND)


def _webhook(file: Path | None) -> str:
    if file is None:
        return os.environ.get("INFISICAL_IAC_WEBHOOK", "")
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise FileError(
            f"{file} can't be read: write the webhook's address into it, and nothing else"
        ) from None


def _watch(every: int) -> None:
    # Each check runs in a process of its own, so that its connections and logins end with it. Each
    # such process has its own session, so that Ctrl-C reaches only the process that repeats them.
    command = [sys.executable, *(each for each in sys.argv if each != "--watch")]
    while True:
        subprocess.run(command, check=False, start_new_session=True)
        time.sleep(every)

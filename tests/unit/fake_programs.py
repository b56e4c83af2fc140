"""Fake programs for the scripts that run on hosts, a fake Docker among them."""

import os
import subprocess
from pathlib import Path

_DOCKER = r"""
for last; do :; done
test ! -e "$HOST/calls" || printf 'docker %%s\n' "$*" | head -n 1 >>"$HOST/calls"
test ! -e "$HOST/failing" || {
    read -r failing <"$HOST/failing"
    case "$*" in "$failing"*) sed 1d "$HOST/failing" >&2; exit 1 ;; esac
}
for answer in "docker $1 $2" "docker $1"; do
    test ! -e "$HOST/$answer" || { cat "$HOST/$answer"; exit; }
done
# Prints the first line of a file, and removes it: the next call gets the next one.
take_line() {
    head -n 1 "$HOST/$1"
    sed -i 1d "$HOST/$1"
}
%s
case "$*" in
%s
esac
"""

# Prints the next line of $HOST/free, or its last one again, as the kB that a disk has free.
DF = """
echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
echo "/dev/fake 1000000 1 $(head -n 1 "$HOST/free") 1% /data"
test "$(wc -l <"$HOST/free")" -lt 2 || sed -i 1d "$HOST/free"
"""
# Prints the lines of the file $JOURNAL that match `--grep`, and records the arguments.
JOURNALCTL = """
echo "$@" >"$JOURNAL.asked"
for each; do
    case $each in --grep=*) grep -E -e "${each#--grep=}" "$JOURNAL" ;; esac
done
"""


def fake_program(directory: Path, name: str, body: str = "") -> Path:
    """Write a shell script, and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def fake_docker(directory: Path, answers: str = "", *, functions: str = "") -> Path:
    """Write a `docker` that knows these answers, such as `"node ls"*) echo id ;;`, and return it.

    Each answer is a pattern of a call's arguments and the commands to run, which may call
    `functions`. A call without an answer succeeds and prints nothing. These files of the host come
    first:

    - `docker node ls`, or `docker info`: the output of calls that begin with these words
    - `failing`: calls that begin with its first line fail, and print its other lines as the error
    - `calls`: each call is appended to it, if it exists

    The scripts take this one for `docker compose` too, also where the machine has Compose.
    """
    fake_program(directory, "docker-compose", "exit 1")
    return fake_program(directory, "docker", _DOCKER % (functions, answers.strip()))


def run_with(
    programs: Path | str,
    command: str,
    *arguments: str,
    stdin: str = "",
    check: bool = False,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run a shell command for at most a minute.

    Args:
        programs: a directory, or several as in PATH, that come before those of this machine.
        arguments: the command's name, $0, and then its arguments.
        variables: its environment; $HOST, with the files of the host, is `programs` by default.
    """
    return subprocess.run(
        # A shell can't catch a signal that it was started to ignore, as in the background.
        ["env", "--default-signal=INT,HUP,TERM", "sh", "-c", command, *arguments],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOST": str(programs), **variables},
        input=stdin,
        check=check,
        capture_output=True,
        text=True,
        timeout=60,
    )

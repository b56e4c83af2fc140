"""A host in a directory, with a Docker that is played, for the scripts that run on hosts."""

import os
import subprocess
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from infisical_iac.core.rendering import script

MAIN = "infisical_postgres"
_PLACES = (
    "/etc/infisical",
    "/etc/systemd/",
    "/sys/class/net/",
    "/sys/module/",
    "/var/lib/infisical-",
    "/var/lib/docker/",
    "/var/backups/infisical-iac",
)
# All by which the scripts have an effect.
_TOOLS = ("cat", "cp", "docker", "find", "ln", "mkdir", "mv", "rm")

# Does what its name says, and keeps what the host is like then, as if it died there.
_TOOL = """#!/bin/sh
{program} "$@"
status=$?
set -- "$MOMENTS"/*
test -e "$1" || shift
/bin/cp -aT "$HOST" "$MOMENTS/$#" 2>"$MOMENTS.errors" || true
exit $status
"""
_DOCKER = r"""#!/bin/sh
for last; do :; done
case "$1 $2" in
volume*) test ! -e "$HOST/silent" || exit 1 ;;
esac
case "$1 $2" in
"volume ls")
    case $* in
    *given_up*)
        pattern=$(echo "$*" | sed 's/.* name=//; s/ .*//')
        ls "$HOST/volumes" | grep -e "$pattern" | while read -r name; do
            echo "given-up $name $(cat "$HOST/volumes/$name/labels")"
        done
        exit
        ;;
    esac
    case $last in
    name=*) pattern=${last#name=} ;;
    *) pattern="^${last##*=}_.*" ;;
    esac
    ls "$HOST/volumes" | grep -x -e "$pattern" || true
    ;;
"volume create")
    /bin/mkdir -p "$HOST/volumes/$last/_data"
    for each; do
        case $each in infisical-iac.*) echo "${each#*=}" ;; esac
    done | tr '\n' ' ' >"$HOST/volumes/$last/labels"
    ;;
"volume inspect") test -d "$HOST/volumes/$last" && echo "$HOST/volumes/$last/_data" ;;
"volume rm")
    shift 2
    for name; do /bin/rm -r "$HOST/volumes/$name"; done
    ;;
"ps "*)
    case $* in
    *--format*) echo "container infisical/postgres / Up 2 minutes" ;;
    *) echo container ;;
    esac
    ;;
"inspect --format")
    case $3 in
    *State.Status*) echo running ;;
    *State.StartedAt*) cat "$HOST/started" 2>/dev/null ;;
    *Config.Image*) echo image ;;
    esac
    ;;
"exec --interactive")
    # What a cluster's databases are asked for is nothing that is counted.
    ! grep -q "given.*up" || exit 0
    test ! -e "$HOST/mute" || exit 1
    echo 42
    ;;
exec*) exit 1 ;;
logs*) echo "a line of its log" ;;
esac
"""


class PlayedHost:
    """Hold what the scripts find in the places that they know, below `directory`.

    With `programs` beside it, in which the tools are that the scripts call.
    """

    def __init__(self, directory: Path, programs: Path) -> None:
        self.directory = directory
        self._programs = programs

    def write(self, path: str, text: str) -> None:
        """Put a file at an absolute path of the host."""
        file = self._file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, path: str) -> str | None:
        """A file's text, None where there is none."""
        file = self._file(path)
        return file.read_text() if file.exists() else None

    def remove(self, path: str) -> None:
        """Take a file away."""
        self._file(path).unlink()

    def _file(self, path: str) -> Path:
        return self.directory / path.removeprefix("/")

    def volume(self, name: str, **files: str) -> None:
        """Make a volume that holds files."""
        for file, text in files.items():
            self.write(f"/volumes/{name}/_data/{file}", text)

    def given_up(self) -> dict[str, dict[str, str]]:
        """The files of each volume that was given up, by its name."""
        return {
            name: files
            for name, files in self.volumes().items()
            if name.startswith(f"{MAIN}_given_up_")
        }

    def volumes(self) -> dict[str, dict[str, str]]:
        """The files of each volume, by its name."""
        return {
            each.name: {file.name: file.read_text() for file in (each / "_data").glob("*")}
            for each in (self.directory / "volumes").iterdir()
        }

    def run(
        self, *step: str, stdin: str = "", moments: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a script with its arguments; `moments` gets what the host is like in between."""
        command = script(*step)
        for place in _PLACES:
            command = command.replace(place, f"{self.directory}{place}")
        seen = f"{self._programs}/seen:" if moments else ""
        return subprocess.run(
            # A shell can't catch a signal that it was started to ignore, as in the background.
            ["env", "--default-signal=INT,HUP,TERM", "sh", "-c", command],
            env={
                "PATH": f"{seen}{self._programs}:{os.environ['PATH']}",
                "HOST": str(self.directory),
                "MOMENTS": str(moments),
            },
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def ok(self, *steps: Sequence[str]) -> None:
        """Run scripts, all of which must succeed."""
        for step in steps:
            done = self.run(*step)
            assert done.returncode == 0, (step, done.stderr)

    def deaths(self, *steps: Sequence[str]) -> list["PlayedHost"]:
        """Return what the host would be like had it died in scripts, after each of their
        effects. A call that left everything as it was had none.
        """
        moments = self.directory.with_name(f"{self.directory.name}-moments")
        moments.mkdir()
        for step in steps:
            done = self.run(*step, moments=moments)
            assert done.returncode == 0, (step, done.stderr)
        found = sorted(moments.iterdir(), key=lambda each: int(each.name))
        differing = (next(same) for _, same in groupby(found, _content))
        return [PlayedHost(each, self._programs) for each in differing]


def _content(directory: Path) -> list[tuple[Path, int, bytes | Path]]:
    """Return each path below the directory with its kind, its mode, and what is in it."""
    return [
        (
            each.relative_to(directory),
            each.lstat().st_mode,
            each.readlink() if each.is_symlink() else each.read_bytes() if each.is_file() else b"",
        )
        for each in sorted(directory.rglob("*"))
    ]


def played(directory: Path) -> PlayedHost:
    """A host with nothing on it but tools."""
    (directory / "host" / "volumes").mkdir(parents=True)
    programs = directory / "programs"
    (programs / "seen").mkdir(parents=True)
    _program(programs / "docker", _DOCKER)
    for tool in ("sync", "systemctl"):
        _program(programs / tool, "#!/bin/sh\n")
    for tool in _TOOLS:
        real = programs / "docker" if tool == "docker" else f"/bin/{tool}"
        _program(programs / "seen" / tool, _TOOL.format(program=real))
    return PlayedHost(directory / "host", programs)


def _program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)

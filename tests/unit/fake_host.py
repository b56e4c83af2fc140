"""A fake host in a directory, with a fake Docker, for the scripts that run on hosts."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import fake_docker, fake_program, run_with

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
# The only programs by which the scripts have an effect.
_TOOLS = ("cat", "cp", "docker", "find", "ln", "mkdir", "mv", "rm")

# Runs the program, then waits until the test has saved the host's state, as if it died here.
_TOOL = """
{program} "$@"
status=$?
echo >"$MOMENTS/asked"
read -r _ <"$MOMENTS/answered"
exit $status
"""
# Starting programs takes most of a script's time. So programs that are called often, and change
# nothing or are fakes anyway, are functions of the script's shell.
_FUNCTIONS = """
dirname() { case $1 in */*) echo "${1%/*}" ;; *) echo . ;; esac; }
timeout() { shift; "$@"; }
"""
_PLAYED = ("docker", "sleep", "sync")
_DOCKER = r"""
"volume ls"*given_up*)
    all=$*
    prefix=${all##* name=^}
    for each in "$HOST/volumes/${prefix%% *}"*; do
        test -d "$each" || continue
        read -r labels <"$each/labels" || true
        echo "given-up ${each##*/} $labels"
    done
    ;;
"volume ls"*)
    case $last in
    name=^*\$) last=${last#name=^} pattern=${last%\$} ;;
    *) pattern="${last##*=}_*" ;;
    esac
    for each in "$HOST"/volumes/$pattern; do
        test ! -d "$each" || echo "${each##*/}"
    done
    ;;
"volume create"*)
    /bin/mkdir -p "$HOST/volumes/$last/_data"
    for each; do
        case $each in infisical-iac.*) printf '%s ' "${each#*=}" ;; esac
    done >"$HOST/volumes/$last/labels"
    ;;
"volume inspect"*) test -d "$HOST/volumes/$last" && echo "$HOST/volumes/$last/_data" ;;
"volume rm"*)
    shift 2
    for name; do /bin/rm -r "$HOST/volumes/$name"; done
    ;;
"ps "*--format*) echo "container infisical/postgres / Up 2 minutes" ;;
"ps "*) echo container ;;
"inspect --format "*State.Status*) echo running ;;
"inspect --format "*State.StartedAt*) cat "$HOST/started" 2>/dev/null ;;
"inspect --format "*Config.Image*) echo image ;;
"exec --interactive"*)
    # No database of a cluster was given up. Other queries count rows.
    ! grep -q "given.*up" || exit 0
    test ! -e "$HOST/mute" || exit 1
    echo 42
    ;;
exec*) exit 1 ;;
logs*) echo "a logged line" ;;
"""


class FakeHost:
    """A host whose files are below `directory`.

    The tools that the scripts call are in `programs`.
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
        """Return a file's text, or None without such a file."""
        file = self._file(path)
        return file.read_text() if file.exists() else None

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._file(path).unlink()

    def program(self, name: str, body: str = "") -> None:
        """Replace a program with a shell script."""
        fake_program(self._programs, name, body)

    def note(self, *names: str) -> None:
        """Make programs that only append their calls to the file `calls`."""
        for name in names:
            self.program(name, f'echo "{name} $*" >>"$HOST/calls"')

    def calls(self) -> list[str]:
        """Return the calls that were appended to the file `calls`."""
        return (self.read("/calls") or "").splitlines()

    def docker(self, answers: str = "") -> None:
        """Make a Docker with these answers, and then those of a host with one database."""
        fake_docker(self._programs, answers + _DOCKER)

    def _file(self, path: str) -> Path:
        return self.directory / path.removeprefix("/")

    def volume(self, name: str, **files: str) -> None:
        """Make a volume that holds files."""
        for file, text in files.items():
            self.write(f"/volumes/{name}/_data/{file}", text)

    def given_up(self) -> dict[str, dict[str, str]]:
        """Return the files of each volume that was given up, by the volume's name."""
        return {
            name: files
            for name, files in self.volumes().items()
            if name.startswith(f"{MAIN}_given_up_")
        }

    def volumes(self) -> dict[str, dict[str, str]]:
        """Return the files of each volume, by the volume's name."""
        return {
            each.name: {file.name: file.read_text() for file in (each / "_data").glob("*")}
            for each in (self.directory / "volumes").iterdir()
        }

    def run(
        self, *step: str, stdin: str = "", moments: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a script with its arguments.

        With `moments`, the directory of `_keep`, each tool waits until a copy of the host is saved.
        """
        text, *arguments = (self._relocate(each) for each in (script_file(step[0]), *step[1:]))
        # Effects are recorded by programs, so these can't be functions.
        functions = "" if moments else self._functions()
        seen = f"{self._programs}/seen:" if moments else ""
        return run_with(
            f"{seen}{self._programs}",
            *(f"{_FUNCTIONS}{functions}{text}", f"{step[0]}.sh", *arguments),
            stdin=stdin,
            HOST=str(self.directory),
            MOMENTS=str(moments),
        )

    def _relocate(self, text: str) -> str:
        for place in _PLACES:
            text = text.replace(place, f"{self.directory}{place}")
        return text

    def _functions(self) -> str:
        files = (self._programs / name for name in _PLAYED)
        return "".join(
            f"{each.name}() (\nset +eu\n{each.read_text()}\n)\n" for each in files if each.exists()
        )

    def ok(self, *steps: Sequence[str]) -> None:
        """Run scripts; all must succeed."""
        for step in steps:
            done = self.run(*step)
            assert done.returncode == 0, (step, done.stderr)

    def deaths(self, *steps: Sequence[str], stdin: str = "") -> list["FakeHost"]:
        """Return a copy of the host after each effect of scripts, as if it had died then.

        A call of a tool that changed nothing is no effect.
        """
        with _keep(self.directory) as (moments, found):
            for step in steps:
                done = self.run(*step, stdin=stdin, moments=moments)
                assert done.returncode == 0, (step, done.stderr)
        return [FakeHost(each, self._programs) for each in found]


@contextmanager
def _keep(directory: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Copy the directory whenever a tool asks for it, unless nothing has changed in it."""
    moments = directory.with_name(f"{directory.name}-moments")
    moments.mkdir()
    for name in ("asked", "answered"):
        os.mkfifo(moments / name)
    # Opened for reading and writing, so that neither waits for the other end or sees its end.
    asked, answered = (os.open(moments / name, os.O_RDWR) for name in ("asked", "answered"))
    found: list[Path] = []

    def keep() -> None:
        content = None
        while os.read(asked, 1) == b"\n":
            before, content = content, _content(directory)
            if content != before:
                found.append(moments / str(len(found)))
                subprocess.run(["cp", "-aT", directory, found[-1]], stderr=subprocess.DEVNULL)
            os.write(answered, b"\n")

    keeper = Thread(target=keep)
    keeper.start()
    try:
        yield moments, found
    finally:
        os.write(asked, b".")
        keeper.join()
        os.close(asked)
        os.close(answered)


def _content(directory: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return the mode and the content of each path below the directory."""
    found: dict[str, tuple[int, bytes | str]] = {}
    waiting = [os.fspath(directory)]
    while waiting:
        for each in os.scandir(waiting.pop()):
            # Another process may remove it meanwhile.
            with suppress(FileNotFoundError):
                inside: bytes | str = b""
                if each.is_symlink():
                    inside = os.readlink(each.path)
                elif each.is_dir():
                    waiting.append(each.path)
                elif each.is_file():
                    inside = Path(each.path).read_bytes()
                found[each.path] = (each.stat(follow_symlinks=False).st_mode, inside)
    return found


def make_host(directory: Path) -> FakeHost:
    """Return a host that has only tools."""
    (directory / "host" / "volumes").mkdir(parents=True)
    programs = directory / "programs"
    host = FakeHost(directory / "host", programs)
    host.docker()
    for tool in ("sync", "systemctl"):
        host.program(tool)
    for tool in _TOOLS:
        real = programs / "docker" if tool == "docker" else f"/bin/{tool}"
        fake_program(programs / "seen", tool, _TOOL.format(program=real))
    return host

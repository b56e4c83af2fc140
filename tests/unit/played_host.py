"""A host in a directory, with a Docker that is played, for the scripts that run on hosts."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from infisical_iac.core.rendering import script_file

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

# Runs the program, then waits until the test has saved the host's state as that of a death here.
_TOOL = """#!/bin/sh
{program} "$@"
status=$?
echo >"$MOMENTS/asked"
read -r _ <"$MOMENTS/told"
exit $status
"""
# Starting programs takes most of a script's time. So programs that are called often, and change
# nothing or are fakes anyway, are functions of the script's shell.
_FUNCTIONS = """
dirname() { case $1 in */*) echo "${1%/*}" ;; *) echo . ;; esac; }
timeout() { shift; "$@"; }
"""
_PLAYED = ("docker", "sleep", "sync")
_DOCKER = r"""#!/bin/sh
for last; do :; done
case "$1 $2" in
volume*) test ! -e "$HOST/silent" || exit 1 ;;
esac
case "$1 $2" in
"volume ls")
    case $* in
    *given_up*)
        all=$*
        prefix=${all##* name=^}
        for each in "$HOST/volumes/${prefix%% *}"*; do
            test -d "$each" || continue
            read -r labels <"$each/labels" || true
            echo "given-up ${each##*/} $labels"
        done
        exit
        ;;
    esac
    case $last in
    name=^*\$) last=${last#name=^} pattern=${last%\$} ;;
    *) pattern="${last##*=}_*" ;;
    esac
    for each in "$HOST"/volumes/$pattern; do
        test ! -d "$each" || echo "${each##*/}"
    done
    ;;
"volume create")
    /bin/mkdir -p "$HOST/volumes/$last/_data"
    for each; do
        case $each in infisical-iac.*) printf '%s ' "${each#*=}" ;; esac
    done >"$HOST/volumes/$last/labels"
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
logs*) echo "a logged line" ;;
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
        """Run a script with its arguments; what is in `moments` keeps what the host is like."""
        text, *arguments = (self._moved(each) for each in (script_file(step[0]), *step[1:]))
        # Effects are recorded by programs, so these can't be functions.
        functions = "" if moments else self._functions()
        seen = f"{self._programs}/seen:" if moments else ""
        return subprocess.run(
            [
                # A shell can't catch a signal that it inherited as ignored, as in the background.
                *("env", "--default-signal=INT,HUP,TERM"),
                *("sh", "-c", f"{_FUNCTIONS}{functions}{text}", f"{step[0]}.sh", *arguments),
            ],
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

    def _moved(self, text: str) -> str:
        for place in _PLACES:
            text = text.replace(place, f"{self.directory}{place}")
        return text

    def _functions(self) -> str:
        files = (self._programs / name for name in _PLAYED)
        return "".join(
            f"{each.name}() (\nset +eu\n{each.read_text()}\n)\n" for each in files if each.exists()
        )

    def ok(self, *steps: Sequence[str]) -> None:
        """Run scripts, all of which must succeed."""
        for step in steps:
            done = self.run(*step)
            assert done.returncode == 0, (step, done.stderr)

    def deaths(self, *steps: Sequence[str], stdin: str = "") -> list["PlayedHost"]:
        """Return what the host would be like had it died in scripts, after each of their
        effects. A call that left everything as it was had none.
        """
        with _kept(self.directory) as (moments, found):
            for step in steps:
                done = self.run(*step, stdin=stdin, moments=moments)
                assert done.returncode == 0, (step, done.stderr)
        return [PlayedHost(each, self._programs) for each in found]


@contextmanager
def _kept(directory: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Keep what is in the directory, if that is new, whenever a tool asks for it."""
    moments = directory.with_name(f"{directory.name}-moments")
    moments.mkdir()
    for name in ("asked", "told"):
        os.mkfifo(moments / name)
    # Opened for reading and writing, so that neither waits for the other end or sees its end.
    asked, told = (os.open(moments / name, os.O_RDWR) for name in ("asked", "told"))
    found: list[Path] = []

    def keep() -> None:
        content = None
        while os.read(asked, 1) == b"\n":
            before, content = content, _content(directory)
            if content != before:
                found.append(moments / str(len(found)))
                subprocess.run(["cp", "-aT", directory, found[-1]], stderr=subprocess.DEVNULL)
            os.write(told, b"\n")

    keeper = Thread(target=keep)
    keeper.start()
    try:
        yield moments, found
    finally:
        os.write(asked, b".")
        keeper.join()
        os.close(asked)
        os.close(told)


def _content(directory: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return by each path below the directory its mode, and what is in it."""
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

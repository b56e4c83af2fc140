"""Share an environment with the installed wheel, made once a session."""

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Installed:
    """An environment in a user's repository, at `.venv`, with the tool installed from a wheel."""

    repository: Path

    @property
    def programs(self) -> Path:
        """The directory of the programs."""
        return self.repository / ".venv" / "bin"

    def run(
        self, *command: str, cwd: Path | None = None, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the user's repository, or in another directory."""
        return subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=cwd or self.repository,
            env={"HOME": str(self.repository), "PATH": f"{self.programs}:/usr/bin:/bin"},
            input=text,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout."""
    builder = WheelBuilder(str(REPOSITORY))
    (path,) = builder.build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    return Path(path)


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return an environment with the wheel, which uses the packages of this environment.

    A path file names them. It does not run the path file of the editable install next to them, so
    this checkout can't be imported.
    """
    made = Installed(tmp_path_factory.mktemp("repository"))
    venv = made.repository / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    uv = Path(sys.executable).parent / "uv"
    install = ["pip", "install", "--quiet", "--offline", "--no-deps", "--no-cache", str(wheel)]
    subprocess.run([str(uv), *install, "--python", str(venv / "bin" / "python")], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return made

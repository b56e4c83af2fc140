"""The state of the Infisical in memory. Ids are plain, such as `environment-3`."""

from typing import Any

Json = dict[str, Any]

ORGANIZATION = "organization-1"


class Refused(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": error, "message": message, "statusCode": status}


class State:
    """The content of the server, which tests may change directly."""

    # If False, clients may list only the names of secrets, and only of a whole environment.
    shows_values = False

    def __init__(self) -> None:
        self.config: Json = {}
        self.users: list[Json] = []
        self.project: Json | None = None
        self.environments: list[Json] = []
        self.deleted: list[Json] = []
        self.folders: dict[str, set[str]] = {}
        self.kept_ids: dict[tuple[str, str], str] = {}  # of renamed folders, by place
        self.imports: list[Json] = []
        self.identities: dict[str, Json] = {}
        self.protected: set[str] = set()  # identities that may not be deleted
        self.auths: dict[str, Json] = {}
        self.oidc: dict[str, Json] = {}
        self.methods: dict[str, list[str]] = {}  # further login methods, by the identity's id
        self.secrets: dict[str, list[Json]] = {}
        self.members: dict[str, list[Json]] = {}
        self.privileges: dict[str, Json] = {}
        self.persons: list[Json] = []
        self.stored: dict[tuple[str, str], list[Json]] = {}  # secrets, by environment and folder
        self.hidden: set[str] = set()  # secrets that are stored, and in no list
        self.refused: dict[str, Refused] = {}  # lists of secrets, by environment or folder
        self.patience: set[float] = set()  # seconds that clients wait for a list of secrets
        self.organization: dict[str, Json] = {}
        self.grants: dict[str, Json] = {}
        self.has_smtp = False
        self.mail_fails = False
        self.token, self.timeout = "", 0.0  # of the request being answered
        self._made = 0

    def add_deployer(self, client_id: str) -> None:
        """Add the deployer's identity with its membership, as a bootstrap makes it."""
        mark = [{"key": "managed-by", "value": "infisical-iac"}]
        name, id = "infisical-iac-deployer", "identity-of-the-deployer"
        self.identities[id] = {"id": id, "name": name, "role": "admin", "metadata": mark}
        self.auths[id] = {"clientId": client_id}
        self.secrets[id] = []
        self.members[id] = [{"role": "admin", "isTemporary": False}]

    def store(
        self, slug: str, folder: str, *names: str, value: str = "obviously-fake"
    ) -> list[Json]:
        """Store secrets in an environment, and return them as the server has them."""
        made = [
            {"id": self._id("secret"), "secretKey": name, "secretValue": value, "version": 1}
            for name in names
        ]
        self.stored.setdefault((self.environment(slug)["id"], folder), []).extend(made)
        return made

    def write(self, **fields: Any) -> None:
        """Change fields of all secrets."""
        for secrets in self.stored.values():
            for each in secrets:
                each.update(fields)

    def environment(self, slug: str) -> Json:
        """Return the environment of a slug. Raises `Refused` without one."""
        return one(self.environments, "slug", slug)

    def identity(self, name: str) -> Json:
        """Return the first identity of a name. Raises `Refused` without one."""
        return one(list(self.identities.values()), "name", name)

    def folder_id(self, environment: str, path: str) -> str:
        """Return the id of a folder, which stays after a rename; `environment` is an id too."""
        return self.kept_ids.get((environment, path), f"folder-{environment}{_dot(path)}")

    def rename_folder(self, environment: str, path: str, name: str) -> None:
        """Rename a folder with all that is in it; `environment` is an id."""
        paths = self.folders[environment]
        new = f"{path.rpartition('/')[0]}/{name}"
        if path not in paths or new in paths:
            raise Refused(400, "BadRequest", "Folder with specified name already exists in path")
        inside = [each for each in paths if f"{each}/".startswith(f"{path}/")]
        moved = {each: new + each.removeprefix(path) for each in inside}
        ids = {each: self.folder_id(environment, each) for each in inside}
        for old, at in moved.items():
            paths.remove(old)
            self.kept_ids.pop((environment, old), None)
            self.kept_ids[environment, at] = ids[old]
        paths.update(moved.values())
        for each in self.imports:
            if each["into"][0] == environment and each["into"][1] in moved:
                each["into"] = (environment, moved[each["into"][1]])

    def delete_environment(self, slug: str) -> None:
        """Soft-delete an environment, as the user interface does."""
        gone = self.environment(slug)
        self.environments.remove(gone)
        self.deleted.append(gone)

    def _id(self, kind: str) -> str:
        self._made += 1
        return f"{kind}-{self._made}"


def _dot(path: str) -> str:
    return path.replace("/", ".")


def one(items: list[Json], key: str, value: str) -> Json:
    """Return the first item that has the value. Raises `Refused` with 404 without one."""
    for each in items:
        if each[key] == value:
            return each
    raise Refused(404, "NotFound", f"there is no {key} {value}")

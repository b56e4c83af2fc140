"""Routes of the Infisical in memory: deletions."""

from tests.unit.fake_state import Json, Refused, State, one


class Deletions(State):
    """A method for each route. It gets the query or body, and the groups of the path's pattern."""

    def _drop_identity(self, _: Json, id: str) -> Json:
        gone = self.identities.pop(id)
        self.auths.pop(id, None)
        self.oidc.pop(id, None)
        self.members.pop(id, None)
        for each in [each for each in self.privileges.values() if each["identityId"] == id]:
            del self.privileges[each["id"]]
        return {"identity": gone}

    def _drop_member(self, _: Json, id: str) -> Json:
        del self.members[id]
        for each in [each for each in self.privileges.values() if each["identityId"] == id]:
            del self.privileges[each["id"]]
        return {"identityMembership": {"id": f"membership-{id}"}}

    def _drop_environment(self, _: Json, id: str) -> Json:
        gone = one(self.environments, "id", id)
        self.delete_environment(gone["slug"])
        return {"environment": gone}

    def _drop_folder(self, body: Json, id: str) -> Json:
        environment = self.environment(body["environment"])["id"]
        paths = self.folders[environment]
        (path,) = (each for each in paths if self.folder_id(environment, each) == id)
        assert body["path"] == (path.rpartition("/")[0] or "/")
        inside = {each for each in paths if each.startswith(f"{path}/")}
        places = {(environment, each) for each in {path, *inside}}
        imports = [each for each in self.imports if each["into"] in places]
        if (inside or imports or places & self.stored.keys()) and not body.get("forceDelete"):
            raise Refused(400, "BadRequest", "Folder is not empty")
        paths -= {path, *inside}
        self.imports = [each for each in self.imports if each not in imports]
        self.stored = {place: each for place, each in self.stored.items() if place not in places}
        return {"folder": {"id": id}}

    def _drop_import(self, body: Json, id: str) -> Json:
        gone = one(self.imports, "id", id)
        assert gone["into"] == (self.environment(body["environment"])["id"], body["path"])
        self.imports.remove(gone)
        return {"secretImport": gone}

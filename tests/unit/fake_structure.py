"""Routes of the Infisical in memory: instance, project, environments, folders, imports, secrets."""

from tests.unit.fake_state import ORGANIZATION, Json, Refused, State, one


class Structure(State):
    """A method for each route. It gets the query or body, and the groups of the path's pattern."""

    def _config(self, body: Json) -> Json:
        self.config.update(body)
        return {"config": self.config}

    def _users(self, _: Json) -> Json:
        return {"users": self.users, "total": len(self.users)}

    def _organizations(self, _: Json) -> Json:
        return {"organizations": [{"id": ORGANIZATION, "name": "ChainAlign"}], "total": 1}

    def _details(self, _: Json) -> Json:
        return {"identityDetails": {"organization": {"id": ORGANIZATION, "name": "ChainAlign"}}}

    def _whole_project(self) -> Json:
        keys = ("id", "slug", "name")
        shown = sorted(self.environments, key=lambda each: each["position"])
        return {
            **(self.project or {}),
            "environments": [{key: each[key] for key in keys} for each in shown],
            "deletedEnvironments": [{key: each[key] for key in keys} for each in self.deleted],
        }

    def _projects(self, _: Json) -> Json:
        return {"projects": [self._whole_project()] if self.project else []}

    def _create_project(self, body: Json) -> Json:
        self.project = {
            "id": self._id("project"),
            "name": body["projectName"],
            "slug": body["slug"],
            "hasDeleteProtection": body["hasDeleteProtection"],
            "autoCapitalization": False,
        }
        return {"project": self.project}

    def _project_by_slug(self, _: Json, slug: str) -> Json:
        if self.project is None or self.project["slug"] != slug:
            raise Refused(404, "NotFound", f"Project with slug '{slug}' not found")
        return self._whole_project()

    def _project_by_id(self, _: Json, id: str) -> Json:
        if self.project is None or self.project["id"] != id:
            raise Refused(404, "NotFound", f"Project with ID '{id}' not found")
        return {"project": self.project}

    def _patch_project(self, body: Json) -> Json:
        assert self.project is not None
        self.project.update(body)
        return {"project": self.project}

    def _create_environment(self, body: Json) -> Json:
        self._refuse_taken(body["slug"])
        last = max((each["position"] for each in self.environments), default=0)
        made = {"id": self._id("environment"), "position": last + 1, **body}
        self.environments.append(made)
        self.folders.setdefault(made["id"], set())
        return {"environment": made}

    def _refuse_taken(self, slug: str) -> None:
        if slug in {each["slug"] for each in [*self.environments, *self.deleted]}:
            raise Refused(400, "CreateEnvironment", "Environment with slug already exists")

    def _environment_by_slug(self, _: Json, slug: str) -> Json:
        return {"environment": self.environment(slug)}

    def _patch_environment(self, body: Json, id: str) -> Json:
        found = one(self.environments, "id", id)
        if body.get("slug", found["slug"]) != found["slug"]:
            self._refuse_taken(body["slug"])
        if "position" in body:
            others = sorted(self.environments, key=lambda each: each["position"])
            others.remove(found)
            others.insert(body["position"] - 1, found)
            for position, each in enumerate(others, start=1):
                each["position"] = position
        found.update(body)
        return {"environment": found}

    def _restore(self, _: Json, id: str) -> Json:
        back = one(self.deleted, "id", id)
        self.deleted.remove(back)
        back["position"] = max((each["position"] for each in self.environments), default=0) + 1
        self.environments.append(back)
        return {"environment": back}

    def _list_folders(self, query: Json) -> Json:
        environment = self.environment(query["environment"])["id"]
        return {
            "folders": [
                {"id": self.folder_id(environment, path), "relativePath": path}
                for path in sorted(self.folders[environment])
            ]
        }

    def _create_folder(self, body: Json) -> Json:
        environment = self.environment(body["environment"])["id"]
        paths = self.folders[environment]
        path = f"{body['path'].rstrip('/')}/{body['name']}"
        if path in paths:
            raise Refused(400, "BadRequest", f"Folder with name '{body['name']}' already exists")
        id = self.folder_id(environment, path)
        if id in {self.folder_id(environment, each) for each in paths}:  # renamed since
            self.kept_ids[environment, path] = self._id("folder")
        paths.add(path)
        return {"folder": {"id": self.folder_id(environment, path)}}

    def _patch_folder(self, body: Json, id: str) -> Json:
        environment = self.environment(body["environment"])["id"]
        paths = self.folders[environment]
        (path,) = (each for each in paths if self.folder_id(environment, each) == id)
        assert body["path"] == (path.rpartition("/")[0] or "/")
        self.rename_folder(environment, path, body["name"])
        return {"folder": {"id": id}}

    def _list_imports(self, query: Json) -> Json:
        here = (self.environment(query["environment"])["id"], query["path"])
        return {"secretImports": [each for each in self.imports if each["into"] == here]}

    def _create_import(self, body: Json) -> Json:
        into = self.environment(body["environment"])["id"]
        source = self.environment(body["import"]["environment"])["id"]
        assert {body["path"]} <= self.folders[into]
        assert {body["import"]["path"]} <= self.folders[source]
        made = {
            "id": self._id("import"),
            "into": (into, body["path"]),
            "importPath": body["import"]["path"],
            "importEnv": {"id": source},
            "position": 1 + max(map(_position, self._siblings((into, body["path"]))), default=0),
        }
        self.imports.append(made)
        return {"secretImport": made}

    def _patch_import(self, body: Json, id: str) -> Json:
        moved, new = one(self.imports, "id", id), body["import"]["position"]
        old = moved["position"]
        for each in self._siblings(moved["into"]):
            if old < each["position"] <= new:
                each["position"] -= 1
            elif new <= each["position"] < old:
                each["position"] += 1
        moved["position"] = new
        return {"secretImport": moved}

    def _list_secrets(self, query: Json) -> Json:
        shows = query.get("viewSecretValue") != "false"
        assert self.shows_values or (shows, query["recursive"]) == (False, "true")
        self.patience.add(self.timeout)
        for where in (query["environment"], query["secretPath"]):
            if where in self.refused:
                raise self.refused[where]
        id = self.environment(query["environment"])["id"]
        value = {} if shows else {"secretValue": "<hidden-by-infisical>"}
        return {
            "secrets": [
                {**each, "secretPath": folder, **value}
                for (environment, folder), secrets in self.stored.items()
                if environment == id and ("recursive" in query or folder == query["secretPath"])
                for each in secrets
                if each["id"] not in self.hidden
            ]
        }

    def _write_secrets(self, body: Json) -> Json:
        assert body["mode"] == "upsert"
        slug, folder = body["environment"], body["secretPath"]
        there = self.stored.get((self.environment(slug)["id"], folder), [])
        for given in body["secrets"]:
            found = [each for each in there if each["secretKey"] == given["secretKey"]]
            (secret,) = found or self.store(slug, folder, given["secretKey"])
            secret["secretValue"] = given["secretValue"]
        return {}

    def _siblings(self, place: tuple[str, str]) -> list[Json]:
        return [each for each in self.imports if each["into"] == place]


def _position(listed: Json) -> int:
    return int(listed["position"])

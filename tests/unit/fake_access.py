"""Routes of the Infisical in memory: identities, logins, memberships, privileges."""

from tests.unit.fake_state import ORGANIZATION, Json, Refused, State

_NEW = {
    "createdAt": "2026-11-25T12:00:00.000Z",
    "updatedAt": "2026-11-25T12:00:00.000Z",
    "clientSecretNumUses": 0,
    "isClientSecretRevoked": False,
}


class Access(State):
    """A method for each route. It gets the query or body, and the groups of the path's pattern."""

    def _list_identities(self, query: Json) -> Json:
        everyone = list(self.identities.values())
        page = everyone[int(query["offset"]) :][: int(query["limit"])]
        listed = [
            {
                "id": f"seat-{each['id']}",
                "role": each["role"],
                "createdAt": _NEW["createdAt"],
                "identity": {**each, "authMethods": self._methods(each["id"])},
            }
            for each in page
        ]
        return {"identities": listed, "totalCount": len(everyone)}

    def _methods(self, id: str) -> list[str]:
        own = {"universal-auth": self.auths, "oidc-auth": self.oidc}
        return [*(name for name, held in own.items() if id in held), *self.methods.get(id, [])]

    def _oidc(self, _: Json, id: str) -> Json:
        if id not in self.oidc:
            raise Refused(400, "BadRequest", "The identity does not have OIDC Auth attached")
        return {"identityOidcAuth": {"identityId": id, **self.oidc[id]}}

    def _attach_oidc(self, body: Json, id: str) -> Json:
        if id in self.oidc:
            raise Refused(400, "BadRequest", "Failed to add OIDC Auth")
        self.oidc[id] = body
        return self._oidc({}, id)

    def _patch_oidc(self, body: Json, id: str) -> Json:
        self.oidc[id].update(body)
        return self._oidc({}, id)

    def _create_identity(self, body: Json) -> Json:
        assert body["organizationId"] == ORGANIZATION
        id = self._id("identity")
        self.identities[id] = {
            "id": id,
            "name": body["name"],
            "role": body["role"],
            "metadata": body.get("metadata", []),
        }
        return {"identity": self.identities[id]}

    def _identity(self, _: Json, id: str) -> Json:
        if id not in self.identities:
            raise Refused(404, "NotFound", f"Failed to find identity with id {id}")
        found = self.identities[id]
        inner = {
            "id": id,
            "name": found["name"],
            "authMethods": self._methods(id),
            "hasDeleteProtection": id in self.protected,
        }
        return {
            "identity": {
                "role": found["role"],
                "createdAt": f"{len(id)}{id}",
                "metadata": found["metadata"],
                "identity": inner,
            }
        }

    def _patch_identity(self, body: Json, id: str) -> Json:
        if not body.pop("hasDeleteProtection", True) and "name" in body:
            self.protected.discard(id)
        self.identities[id].update(body)
        return {"identity": self.identities[id]}

    def _auth(self, _: Json, id: str) -> Json:
        if id not in self.auths:
            raise Refused(404, "NotFound", "Failed to find universal auth")
        return {"identityUniversalAuth": self.auths[id]}

    def _attach(self, body: Json, id: str) -> Json:
        if id in self.auths:
            raise Refused(400, "BadRequest", "Failed to add universal auth")
        self.auths[id] = {"clientId": self._id("client"), **body}
        self.secrets[id] = []
        return self._auth({}, id)

    def _patch_auth(self, body: Json, id: str) -> Json:
        self.auths[id].update(body)
        return self._auth({}, id)

    def _secrets(self, _: Json, id: str) -> Json:
        return {"clientSecretData": self.secrets[id]}

    def _secret(self, body: Json, id: str) -> Json:
        limits = {"clientSecretTTL": body["ttl"], "clientSecretNumUsesLimit": body["numUsesLimit"]}
        made = {"id": self._id("secret"), "description": body["description"], **limits, **_NEW}
        self.secrets[id].append(made)
        return {"clientSecret": f"fake-value-of-{made['id']}", "clientSecretData": made}

    def _revoke(self, _: Json, id: str, secret: str) -> Json:
        self.secrets[id] = [each for each in self.secrets[id] if each["id"] != secret]
        return {}

    def _list_members(self, _: Json) -> Json:
        listed = [
            {
                "id": f"membership-{id}",
                "identityId": id,
                "identity": {
                    "id": id,
                    "name": self.identities[id]["name"],
                    "authMethods": self._methods(id),
                },
                "roles": roles,
            }
            for id, roles in self.members.items()
            if id in self.identities
        ]
        return {"identityMemberships": listed, "totalCount": len(listed)}

    def _add_member(self, body: Json, id: str) -> Json:
        if id in self.members:
            raise Refused(400, "BadRequest", "Identity is already a member")
        return self._set_member(body, id)

    def _set_member(self, body: Json, id: str) -> Json:
        self.members[id] = body["roles"]
        return {"identityMembership": {"id": f"membership-{id}"}}

    def _list_privileges(self, query: Json) -> Json:
        if "identityId" not in query:
            raise Refused(422, "ValidationFailure", "identityId is required")
        own = [
            {key: value for key, value in each.items() if key != "permissions"}
            for each in self.privileges.values()
            if each["identityId"] == query["identityId"]
        ]
        return {"privileges": own}

    def _list_whole_privileges(self, query: Json) -> Json:
        whole = [
            each for each in self.privileges.values() if each["identityId"] == query["identityId"]
        ]
        return {"privileges": whole}

    def _create_privilege(self, body: Json) -> Json:
        id = self._id("privilege")
        self.privileges[id] = {"id": id, **body, "isTemporary": body["type"]["isTemporary"]}
        return self._privilege({}, id)

    def _privilege(self, _: Json, id: str) -> Json:
        return {"privilege": self.privileges[id]}

    def _patch_privilege(self, body: Json, id: str) -> Json:
        self.privileges[id].update(body, isTemporary=body["type"]["isTemporary"])
        return self._privilege({}, id)

    def _drop_privilege(self, _: Json, id: str) -> Json:
        return {"privilege": self.privileges.pop(id)}

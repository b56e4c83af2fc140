"""Routes of the Infisical in memory: persons, in the organization and in the project.

As on the server, an invitation requires the administrator's token. The routes under
`user-project-additional-privilege` also require that the project has an admin.
"""

from tests.unit.fake_state import ORGANIZATION, Json, Refused, State, one

ADMIN_TOKEN = "fake-token-of-the-administrator"


class People(State):
    """A method for each route. It gets the query or body, and the groups of the path's pattern."""

    def _list_persons(self, _: Json) -> Json:
        return {"memberships": self.persons}

    def _add_persons(self, body: Json) -> Json:
        added = []
        for name in [*body["usernames"], *body["emails"]]:
            if any(name == each["user"]["username"] for each in self.persons):
                continue
            roles = [{"role": role, "isTemporary": False} for role in body["roleSlugs"]]
            user = next(
                (each for each in self.organization.values() if each["username"] == name),
                {"username": name, "email": name},
            )
            added.append({"id": self._id("seat"), "user": user, "roles": roles})
            self.organization.setdefault(name, user)
        self.persons += added
        if added and self.mail_fails:
            raise Refused(500, "InternalServerError", "Something went wrong")
        return {"memberships": added}

    def _set_person(self, body: Json, id: str) -> Json:
        one(self.persons, "id", id)["roles"] = body["roles"]
        return {"roles": body["roles"]}

    def _drop_person(self, _: Json, id: str) -> Json:
        gone = one(self.persons, "id", id)
        self.persons.remove(gone)
        for each in [each for each in self.grants.values() if each["projectMembershipId"] == id]:
            del self.grants[each["id"]]
        return {"membership": gone}

    def _list_organization(self, _: Json, organization: str) -> Json:
        assert organization == ORGANIZATION
        return {
            "users": [
                {
                    "id": f"membership-of-{each['username']}",
                    "role": each.get("role", "member"),
                    "user": {"id": f"user-{each['username']}", **each},
                }
                for each in self.organization.values()
            ]
        }

    def _invite(self, body: Json) -> Json:
        assert self.token == ADMIN_TOKEN
        assert body["organizationId"] == ORGANIZATION
        links = []
        for email in body["inviteeEmails"]:
            self.organization[email] = {"username": email, "email": email}
            link = f"https://fake/signupinvite?to={email}&organization_id={ORGANIZATION}"
            links.append({"email": email, "link": link})
        return {"message": "Sent", "completeInviteLinks": [] if self.has_smtp else links}

    def _list_grants(self, query: Json) -> Json:
        self._require_admin()
        own = [
            {key: value for key, value in each.items() if key != "permissions"}
            for each in self.grants.values()
            if each["projectMembershipId"] == query["projectMembershipId"]
        ]
        return {"privileges": own}

    def _create_grant(self, body: Json) -> Json:
        self._require_admin()
        id = self._id("grant")
        self.grants[id] = {"id": id, **body, "isTemporary": body["type"]["isTemporary"]}
        return self._grant({}, id)

    def _grant(self, _: Json, id: str) -> Json:
        self._require_admin()
        return {"privilege": self.grants[id]}

    def _patch_grant(self, body: Json, id: str) -> Json:
        self._require_admin()
        self.grants[id].update(body, isTemporary=body["type"]["isTemporary"])
        return self._grant({}, id)

    def _drop_grant(self, _: Json, id: str) -> Json:
        self._require_admin()
        return {"privilege": self.grants.pop(id)}

    def _list_tokens(self, _: Json) -> Json:
        self._require_admin()
        return {"serviceTokenData": []}

    def _list_syncs(self, _: Json) -> Json:
        return {"secretSyncs": []}

    def _list_groups(self, _: Json) -> Json:
        return {"groupMemberships": []}

    def _require_admin(self) -> None:
        admins = [each for each in self.persons if {"admin"} & {r["role"] for r in each["roles"]}]
        if self.token != ADMIN_TOKEN or not admins:
            raise Refused(403, "PermissionDenied", "You are not allowed to access this resource")

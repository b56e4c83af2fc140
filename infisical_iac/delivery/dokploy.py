"""Credentials into the variables of a service in Dokploy, over its API."""

from typing import Any

import httpx

from infisical_iac.delivery.failures import DeliveryError
from infisical_iac.delivery.text import TextError, with_variables
from infisical_iac.workspace.credential_file import Credential, variables
from infisical_iac.workspace.targets import DokployTarget

KEY = "DOKPLOY_API_KEY"
_ANY = Credential("any", "any", "any", "any")
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class Dokploy:
    """The courier to an application or a compose service.

    Args:
        key: of Dokploy's API.

    All methods raise DeliveryError, which holds nothing of the service's variables.
    """

    deploys = True

    def __init__(self, target: DokployTarget, key: str) -> None:
        if not key:
            raise DeliveryError(f"{KEY} is not set: make a key in Dokploy's settings, and set it")
        self._target = target
        self._http = httpx.Client(
            base_url=f"{target.url}/api",
            headers={"x-api-key": key},
            timeout=_TIMEOUT,
            # Plain http is for this machine alone: a proxy would read the key.
            trust_env=target.url.startswith("https://"),
        )

    def check(self) -> None:
        """Return if the service is there, may be read, and can take the variables."""
        self._wanted(self._read(), _ANY)

    def differs(self, credential: Credential) -> bool:
        """Return whether there is something to deliver."""
        found = self._read()
        return not self._has(found, self._wanted(found, credential))

    def deliver(self, credential: Credential) -> bool:
        """Set the three variables, keep all others, and see that they are there.

        Does nothing if they are there already; returns whether they were not.
        """
        found = self._read()
        text = self._wanted(found, credential)
        if self._has(found, text):
            return False
        body: dict[str, Any] = {self._id_key: self._target.id, "env": text}
        if self._target.application:
            # It asks for all of them. The file would be copied into the image that is built.
            body |= {"buildArgs": found["buildArgs"] or "", "createEnvFile": False}
            body |= {"buildSecrets": found["buildSecrets"] or ""}
        self._send("POST", "saveEnvironment", json=body)
        if not self._has(self._read(), text):
            raise DeliveryError(f"{self._target} did not keep what was saved: push again")
        return True

    def deploy(self) -> None:
        """Let Dokploy deploy the service, without waiting for it."""
        self._send("POST", "deploy", json={self._id_key: self._target.id})

    @property
    def _id_key(self) -> str:
        return f"{self._target.kind}Id"

    def _read(self) -> dict[str, Any]:
        """Return what Dokploy keeps of the service, its variables as text."""
        answer = self._send("GET", "one", params={self._id_key: self._target.id})
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or "env" not in found:
            raise DeliveryError(
                f"{self._target} does not show its variables: check the address, and that the "
                f"owner of {KEY} may read and write them"
            )
        if self._target.compose and found.get("createEnvFile") is False:
            raise DeliveryError(
                f"{self._target} has its environment file turned off, so that no variable reaches "
                "its containers: turn it on in Dokploy"
            )
        rest = {"buildArgs": found.get("buildArgs"), "buildSecrets": found.get("buildSecrets")}
        return {"createEnvFile": None, **found, **rest, "env": found["env"] or ""}

    def _wanted(self, found: dict[str, Any], credential: Credential) -> str:
        try:
            return with_variables(found["env"], variables(credential))
        except TextError as error:
            raise DeliveryError(f"{self._target}: {error}") from None

    def _has(self, found: dict[str, Any], text: str) -> bool:
        """Return whether it keeps the text, and not in an image too."""
        leaks = self._target.application and found["createEnvFile"]
        return found["env"] == text and not leaks

    def _send(self, method: str, action: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, f"/{self._target.kind}.{action}", **request)
        except httpx.HTTPError as error:
            raise DeliveryError(
                f"Dokploy at {self._target.url} does not answer ({type(error).__name__}): check "
                "its address in the workspace file, and that it runs"
            ) from None
        if not answer.is_success:
            raise DeliveryError(self._refusal(answer.status_code, action))
        return answer

    def _refusal(self, status: int, action: str) -> str:
        at = f"Dokploy at {self._target.url}"
        if status == 401:
            return f"{at} refuses the key in {KEY}: make a new one in its settings, and set it"
        if status == 403:
            return f"{at} does not let the owner of the key in {KEY} do that: give the permission"
        if status == 404:
            return (
                f"{at} has no {self._target.kind} {self._target.id}: copy its id from the end of "
                "its address in Dokploy into `deliver` in the workspace file"
            )
        if 300 <= status < 400:
            return f"{at} answers from elsewhere ({status}): write that address instead"
        return f"{at} answered {status} to {self._target.kind}.{action}: look into its log"

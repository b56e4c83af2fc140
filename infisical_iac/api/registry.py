"""A client of image registries: the tags of an image, and the digest of a tag.

It speaks the distribution API of the Open Container Initiative, with or without a login. A registry
that answers 401 names the service that issues tokens.
"""

import hashlib
import re
import ssl
from functools import cache
from typing import Any, NamedTuple, Self

import httpx

from infisical_iac.core.errors import Unreachable, UserError
from infisical_iac.core.images import DIGEST, DOCKER_HUB, ImageReference
from infisical_iac.core.validation import is_confidential

# The host of Docker Hub's API, which differs from the host in the names of its images.
_HUB_API = "registry-1.docker.io"
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_PAGE, _MOST_PAGES = 1000, 30
_MOST_BYTES = 16 * 1024**2
# The longest tag that the distribution API allows.
_LONGEST_TAG = 128
_PARAMETER = re.compile(r'([a-z]+)="([^"]*)"')


@cache
def _tls() -> ssl.SSLContext:
    """Return the context of all clients, because it takes long to read all authorities."""
    return httpx.create_ssl_context()


class RegistryCredentials(NamedTuple):
    """The user and the password, or token, for a private registry."""

    user: str
    password: str


class RegistryClient:
    """A client for the registry of one image. Use it in a `with` statement.

    Args:
        image: the image; only its registry and repository are used.
        timeout: the seconds to wait for each part of an answer.
        login: for a private registry.
    """

    def __init__(
        self, image: ImageReference, *, timeout: float, login: RegistryCredentials | None = None
    ) -> None:
        self.host = _HUB_API if image.registry == DOCKER_HUB else image.registry
        self._repository, self._timeout, self._login = image.repository, timeout, login
        plain = f"http://{self.host}"
        # As Docker does, only a registry on this machine is asked without TLS.
        base = plain if is_confidential(plain) else f"https://{self.host}"
        self._client = httpx.Client(
            base_url=base, timeout=timeout, follow_redirects=True, verify=_tls()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def list_tags(self) -> list[str]:
        """Return all tags of the image, in the registry's order.

        Raises Unreachable if the registry does not answer, and UserError for another answer.
        """
        tags: list[str] = []
        address = f"/v2/{self._repository}/tags/list?n={_PAGE}"
        for _ in range(_MOST_PAGES):
            response = self._ask("GET", address)
            try:
                found = map(str, response.json()["tags"] or ())
                tags += (each for each in found if len(each) <= _LONGEST_TAG)
            except (ValueError, TypeError, LookupError):
                raise UserError(
                    f"{self.host} does not answer as a registry does: check the image's name",
                    code="error.no_registry",
                ) from None
            following = response.links.get("next", {}).get("url")
            if not following:
                break
            # The next page comes from the registry itself, which has the login: a proxy may call
            # it by another scheme, and a hostile registry may name another server.
            target = response.url.join(following)
            if target.host != self._client.base_url.host:
                break
            address = target.raw_path.decode()
        return tags

    def read_digest(self, tag: str) -> str:
        """Return the tag's current digest: of the multi-platform index, if it has one.

        Raises as `list_tags` does.
        """
        address = f"/v2/{self._repository}/manifests/{tag}"
        # Docker Hub counts a GET as a pull, but not a HEAD.
        digest = self._ask("HEAD", address).headers.get("Docker-Content-Digest", "")
        if not digest:
            digest = f"sha256:{hashlib.sha256(self._ask('GET', address).content).hexdigest()}"
        if not re.fullmatch(DIGEST, digest):
            raise UserError(
                f"the digest that {self.host} gives for {tag} is of a kind that Docker does not "
                "know: set the image without a digest",
                code="error.registry_digest",
            )
        return str(digest)

    def _ask(self, method: str, address: str) -> httpx.Response:
        try:
            response = self._read(self._client, method, address, headers={"Accept": _MANIFESTS})
            if response.status_code == httpx.codes.UNAUTHORIZED:
                self._log_in(response)
                response = self._read(self._client, method, address, headers={"Accept": _MANIFESTS})
        except httpx.TimeoutException:
            raise Unreachable(
                f"no answer from {self.host} in {self._timeout:g} s", code="unreachable.registry"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Unreachable(
                f"no answer from {self.host} ({type(error).__name__})", code="unreachable.registry"
            ) from None
        if response.is_success:
            return response
        raise self._explain(response.status_code)

    def _read(
        self, client: httpx.Client, method: str, address: str, **options: Any
    ) -> httpx.Response:
        """Send a request, and return the answer with its body, of a bounded size."""
        with client.stream(method, address, **options) as response:
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise UserError(
                        f"{self.host} sends more than {_MOST_BYTES // 1024**2} MB: check the "
                        "image's name",
                        code="error.no_registry",
                    )
            # The body was decoded above, so the copy must not be decoded again.
            headers = [
                (name, value)
                for name, value in response.headers.multi_items()
                if name not in ("content-encoding", "content-length", "transfer-encoding")
            ]
            return httpx.Response(
                response.status_code, headers=headers, content=bytes(body), request=response.request
            )

    def _log_in(self, response: httpx.Response) -> None:
        """Answer the challenge of a 401: get a token, or use the login itself.

        Only the registry may ask for the login or name a token service; a redirect target may not.
        """
        if _origin(response.url) != _origin(self._client.base_url):
            return
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        login, parameters = self._login, dict(_PARAMETER.findall(rest))
        if scheme.lower() == "basic" and login and is_confidential(str(response.url)):
            self._client.auth = httpx.BasicAuth(*login)
            return
        realm = parameters.get("realm", "")
        if scheme.lower() != "bearer" or not re.match("https?://", realm):
            return
        asked = {name: parameters[name] for name in ("service", "scope") if name in parameters}
        asked.setdefault("scope", f"repository:{self._repository}:pull")
        auth = httpx.BasicAuth(*login) if login and is_confidential(realm) else None
        # A client of its own, because the registry's client would send an earlier token.
        with httpx.Client(timeout=self._timeout, verify=_tls()) as client:
            answer = self._read(client, "GET", realm, params=asked, auth=auth)
        try:
            found = answer.json()
            token = str(found.get("token") or found["access_token"])
        except (ValueError, TypeError, LookupError, AttributeError):
            raise self._explain(httpx.codes.UNAUTHORIZED) from None
        self._client.headers["Authorization"] = f"Bearer {token}"

    def _explain(self, status: int) -> UserError:
        match status:
            case 401 | 403:
                sentence = f"{self.host} asks for a login to {self._repository}"
                return UserError(f"{sentence}: set registry_login", code="error.registry_login")
            case 404:
                return UserError(
                    f"{self.host} has no {self._repository} with this tag: check the image's name",
                    code="error.no_image",
                )
            case 429:
                return UserError(
                    f"{self.host} has had too many requests from this address: wait an hour, or "
                    "set registry_login",
                    code="error.registry_limit",
                )
        return UserError(
            f"{self.host} answered {status}: try again later", code="error.registry_failure"
        )


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port

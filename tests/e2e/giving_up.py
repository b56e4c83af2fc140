"""Write through the API during changes of version, and find each write afterwards."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from infisical_iac.agent import contents
from tests.e2e import inspection
from tests.staging.host import StagingHost

_FOLDER = "/backend"
_LISTED = "docker volume ls --quiet --filter name=^infisical_postgres_given_up_"
_IMAGES = "docker volume inspect --format '{{{{ index .Labels \"infisical-iac.images\" }}}}' {}"
# A copy of the volume is started: the volume itself is evidence, and must not change.
_READ = """
name=$(docker run --detach --user postgres --network none --volume {volume}:/was:ro \\
    --entrypoint sh {image} -c 'cp -a /was/. /tmp/data && exec postgres -D /tmp/data 2>/tmp/log')
for attempt in $(seq 60); do
    docker exec $name psql -X -U infisical -h /var/run/postgresql -Atqc "{query}" && break
    sleep 0.5
done
docker rm --force --volumes $name >/dev/null"""
# The stand-in stores documents, in a column whose name depends on its release; a real server has a
# column for the key.
KEYS = (
    "SELECT coalesce(to_jsonb(each) -> 'data' ->> 'secretKey', "
    "to_jsonb(each) -> 'document' ->> 'secretKey', to_jsonb(each) ->> 'key') FROM secrets_v2 each"
)


# Runs on the host, bypassing the edge: log in, then write one secret after the other until a write
# is refused.
_WRITE = """
api=http://127.0.0.1:8080
ask() {{ curl --silent --max-time 5 --header 'Content-Type: application/json' "$@"; }}
while test -e {flag}; do
    token=$(ask --data @{login} $api/api/v1/auth/universal-auth/login |
        sed 's/.*"accessToken": *"\\([^"]*\\)".*/\\1/')
    while test -n "$token" && test -e {flag}; do
        name=WRITTEN_$(date +%s%N)
        status=$(ask --header "Authorization: Bearer $token" --data '{{"projectId": "{project}",
            "environment": "production", "secretPath": "{folder}", "secretValue": "fake"}}' \
            --output /dev/null --write-out '%{{http_code}}' $api/api/v4/secrets/$name)
        test "$status" = 200 || break
        echo $name
        sleep 0.05
    done
    sleep 0.2
done"""
_FLAG, _LOGIN, _ACKNOWLEDGED = "/root/writing", "/root/login.json", "/root/acknowledged"


@contextmanager
def writing(host: StagingHost) -> Iterator[set[str]]:
    """Write secrets through the loopback API while the context is open.

    The set holds the names of the acknowledged ones when the context ends.
    """
    found = inspection.env_file(host, "/etc/infisical/deployer.env")
    login = {
        "clientId": found["INFISICAL_CLIENT_ID"],
        "clientSecret": found["INFISICAL_CLIENT_SECRET"],
    }
    with inspection.deployer(host) as client:
        project = inspection.place(client, _FOLDER)["projectId"]
    script = _WRITE.format(flag=_FLAG, login=_LOGIN, project=project, folder=_FOLDER)
    host.run(f"umask 077; touch {_FLAG}; cat >{_LOGIN}", input=json.dumps(login))
    host.run("cat >/root/write.sh", input=script)
    host.run(f"setsid sh /root/write.sh >{_ACKNOWLEDGED} 2>/dev/null </dev/null &")
    acknowledged: set[str] = set()
    try:
        yield acknowledged
    finally:
        host.run(f"rm {_FLAG}; sleep 6")
        acknowledged |= set(host.run(f"cat {_ACKNOWLEDGED}").stdout.split())
        host.run(f"rm {_LOGIN} {_ACKNOWLEDGED} /root/write.sh")


def serving(host: StagingHost) -> set[str]:
    """Return the names of production's secrets, as the API lists them."""
    with inspection.deployer(host) as client:
        project = inspection.place(client, _FOLDER)["projectId"]
        listed = contents.secrets(client, project, "production", values=False)
    return {each["secretKey"] for each in listed}


def named_volumes(text: str) -> set[str]:
    """Return the volumes with given-up data that a text names."""
    return set(re.findall(r"infisical_postgres_given_up_\w+", text))


def found_in(host: StagingHost, volume: str) -> set[str]:
    """Return the names of the secrets in a given-up volume, read by another PostgreSQL."""
    *_, image = host.run(_IMAGES.format(volume)).stdout.split()
    command = _READ.format(volume=volume, image=image, query=KEYS)
    return set(host.run(command).stdout.split())


def lost_writes(host: StagingHost, acknowledged: set[str], report: str) -> set[str]:
    """Return the acknowledged writes that are neither served nor in a volume of the report."""
    kept = serving(host)
    for volume in named_volumes(report):
        kept |= found_in(host, volume)
    return acknowledged - kept


def forget(host: StagingHost) -> None:
    """Remove the given-up volumes and the written secrets."""
    host.run(f"{_LISTED} | xargs --no-run-if-empty docker volume rm")
    with inspection.deployer(host) as client:
        where = inspection.place(client, _FOLDER)
        for name in serving(host):
            if name.startswith("WRITTEN_"):
                client.delete(f"/api/v4/secrets/{name}", json=where)


def volumes(host: StagingHost) -> set[str]:
    """Return the volumes with given-up data."""
    return set(host.run(_LISTED).stdout.split())

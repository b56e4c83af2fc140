# Reaches Infisical's database through this host's PostgreSQL container. On a single host that is
# the database in the container, on a cluster the primary on any node.
#
#   find_database              sets $database, the container; fails if it does not run
#   in_database <command>…     runs the command there; $as names its sessions, and $within may be a
#                              command that limits its time
#   sql [<database>]           runs the SQL on standard input, in `infisical` by default
#   clustered                  succeeds if the container is a Swarm's
#   find_password              sets $password_file to the file with the password that a cluster's
#                              database accepts; fails if there is none, with the reason in $said
#   change_password            sets the database's password to the one in use
. ./containers.sh
keys=/etc/infisical/keys
servers='postgres-1 postgres-2 postgres-3'

find_database() {
    database=$(container postgres)
    test "$(docker inspect --format '{{ .State.Status }}' "$database" 2>/dev/null)" = running || {
        echo "the database does not run: \`infisical-iac apply\` brings it back" >&2
        exit 1
    }
    swarm=$(docker inspect --format '{{ index .Config.Labels "com.docker.swarm.service.name" }}' \
        "$database")
    ! clustered || hosts=$(hosts)
}

clustered() { test -n "$swarm"; }

# Prints the servers, first the one that Patroni reports as the primary: a standby may lack a new
# database or password, and a session that it refuses does not try the next server.
hosts() {
    first=$(timeout 20 docker exec "$database" sh -c 'for server; do
        curl --noproxy "*" --silent --fail --output /dev/null --max-time 4 "${REST:-http}://$server:8008/primary" &&
            echo "$server" && break
    done' sh $servers 2>/dev/null) || true
    echo $first $servers | tr ' ' ','
}

# Bypasses HAProxy, which would end a session that waits for a long time. A former primary accepts
# no write, since it has no synchronous standby. The password is in the environment, never an
# argument.
in_database() {
    if clustered; then
        PGPASSWORD=$(cat "${password_file:-$keys/postgres_password}") \
            ${within-} docker exec --interactive --env PGAPPNAME="${as-infisical-iac}" \
            --env PGHOST="$hosts" --env PGTARGETSESSIONATTRS=primary --env PGCONNECT_TIMEOUT=5 \
            --env PGPASSWORD "$database" "$@"
    else
        ${within-} docker exec --interactive --env PGAPPNAME="${as-infisical-iac}" "$database" "$@"
    fi
}

sql() {
    in_database psql --no-psqlrc --username infisical --dbname "${1-infisical}" \
        --quiet --tuples-only --no-align --set ON_ERROR_STOP=1
}

# Prints "given-up <database> <since> <writes> <images>" for each database that was given up, or for
# those of the change $1.
databases_given_up() {
    found=$(echo "SELECT datname, coalesce(shobj_description(oid, 'pg_database'), 'unknown unknown')
        FROM pg_database WHERE datname LIKE 'infisical\_given\_up\_$(echo "${1-}" | tr TZ tz)%'
        ORDER BY datname" | within="timeout 60" sql postgres)
    test -z "$found" || echo "$found" | sed 's/^/given-up /; s/|/ /'
}

find_password() {
    said="there is no $keys/postgres_password"
    for which in "" .old .next; do
        password_file=$keys/postgres_password$which
        test -s "$password_file" || continue
        said=$(echo "SELECT 1" | within="timeout 60" sql postgres 2>&1) && return
    done
    return 1
}

# psql reads the password from standard input and sends only its verifier, so that it is neither in
# arguments nor in PostgreSQL's log and list of sessions.
change_password() {
    new_password=$(cat "$keys/postgres_password")
    printf '%s\n%s\n' "$new_password" "$new_password" |
        within="timeout 60" in_database psql --no-psqlrc --quiet --username infisical \
            --dbname postgres --command '\password infisical'
}

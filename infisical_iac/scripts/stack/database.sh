# Infisical's database, spoken to from this host's container of PostgreSQL: on one host the one in
# it, on a cluster the primary, wherever it is.
#
#   find_database              sets $database, the container; fails if it does not run
#   in_database <command>…     runs it there; $as is what the sessions of it are called, and
#                              $within may be a command that ends it after a while
#   sql [<database>]           the SQL on standard input, in `infisical` if not in another one
#   clustered                  whether the container is a Swarm's
#   find_password              sets $password_file, of the files of the password the one whose a
#                              cluster's database knows; else fails, and $said is why
#   change_password            has the database know the one in its place
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

# The one that Patroni holds for the primary, before all: a standby may not know yet of a database or
# a password that was just made, and who is refused there is not sent on to the next.
hosts() {
    first=$(timeout 20 docker exec "$database" sh -c 'for server; do
        curl --noproxy "*" --silent --fail --output /dev/null --max-time 4 "${REST:-http}://$server:8008/primary" &&
            echo "$server" && break
    done' sh $servers 2>/dev/null) || true
    echo $first $servers | tr ' ' ','
}

# Past HAProxy, which would end a session that waits for long. A primary that is none any more
# takes no write, for it has no synchronous standby. The password is in the environment, never an
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

# "given-up <database> <since> <writes> <images>" of each that was given up, or of the change $1.
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

# The password goes by standard input, and what psql makes of it is no more than its verifier, so
# that neither arguments nor PostgreSQL's log and its list of sessions ever have it.
change_password() {
    new_password=$(cat "$keys/postgres_password")
    printf '%s\n%s\n' "$new_password" "$new_password" |
        within="timeout 60" in_database psql --no-psqlrc --quiet --username infisical \
            --dbname postgres --command '\password infisical'
}

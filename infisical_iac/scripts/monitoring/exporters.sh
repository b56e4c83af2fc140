# The login of PostgreSQL's exporter, and the removal of the exporters.
#
#   exporters.sh inspect <address> <role>   prints "address" if the host has the address, "database"
#                                           if PostgreSQL answers, and "role" if the role has its
#                                           password, pg_monitor, and nothing else
#   exporters.sh role <role>                makes the role, in place of one that differs
#   exporters.sh remove <seconds> <role> <package>…   removes the role and the packages; waits up to
#                                           <seconds> for the locks of another apt
set -eu
. ./database.sh
password=$keys/metrics_postgres_password

# Succeeds if the role can do nothing but log in and read statistics.
is_plain() {
    found=$(within="timeout 20" sql <<SQL
SELECT count(*) FROM pg_roles AS r WHERE rolname = '$1' AND rolcanlogin
    AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
    AND ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid) = '{pg_monitor}'
    AND NOT EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid)
SQL
    ) && test "$found" = 1
}

# The container's own name leads to an address that needs the password.
logs_in() {
    within="timeout 20" in_database sh -c 'IFS= read -r PGPASSWORD; export PGPASSWORD
        psql --no-psqlrc --quiet --host postgres --username "$1" --dbname infisical \
            --command "SELECT 1"' sh "$1" <"$password" >/dev/null 2>&1
}

inspect() {
    test -z "$(ip -oneline address show to "$1" 2>/dev/null)" || echo address
    database=$(container postgres 2>/dev/null) || exit 0
    swarm=''
    test -n "$database" && echo 'SELECT 1' | within="timeout 20" sql >/dev/null 2>&1 || exit 0
    echo database
    ! is_plain "$2" || ! logs_in "$2" || echo role
}

# psql reads the password from standard input and sends only its verifier.
role() {
    find_database
    gone "$1"
    within="timeout 60" sql <<SQL
CREATE ROLE $1 LOGIN CONNECTION LIMIT 5 IN ROLE pg_monitor;
SQL
    secret=$(cat "$password")
    printf '%s\n%s\n' "$secret" "$secret" |
        within="timeout 60" in_database psql --no-psqlrc --quiet --username infisical \
            --dbname postgres --command "\\password $1"
}

gone() {
    within="timeout 60" sql <<SQL
SELECT 'DROP OWNED BY $1' FROM pg_roles WHERE rolname = '$1' \gexec
DROP ROLE IF EXISTS $1;
SQL
}

remove() {
    # Without the database, the role is gone with it, or stays and can't log in.
    database=$(container postgres 2>/dev/null) || database=''
    swarm=''
    test -z "$database" || gone "$2" 2>/dev/null || true
    wait=--option=DPkg::Lock::Timeout=$1
    shift 2
    DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --yes "$wait" purge "$@"
}

"$@"

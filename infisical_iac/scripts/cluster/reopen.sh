# Repairs the access to the cluster's database after a leader died during a change. The new leader
# runs it before it rolls the stack out. The database may refuse connections, if a restore was about
# to replace it, or have another password than the key in use, if a rotation was about to change it.
# Does nothing if no database answers: the roll-out starts it. Prints `known` once no key but the
# one in use is needed.
TOPOLOGY=swarm
. ./databases.sh
(find_database) 2>/dev/null || exit 0
find_database
find_password || exit 0
if [ "$password_file" != "$keys/postgres_password" ]; then
    said=$(change_password 2>&1) ||
        fail "PostgreSQL does not take the password in $keys: $(echo "$said" | tail -n 1)"
    password_file=
fi
closed=$(echo "SELECT 1 FROM pg_database WHERE datname = '$main' AND NOT datallowconn" | at_server)
test -z "$closed" || open
# A rotation that is under way here still needs its other key.
test -e /var/lib/infisical-rotation/state || echo known

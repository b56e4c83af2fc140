# What a lead that died meanwhile may have left of the cluster's database, set right by the next one
# before it rolls the stack out: it may let nobody in, for a restore was about to put another in its
# place, or know another password than the key in its place, for a rotation was about to change it.
# Where none answers, the roll-out is what brings it. Prints `known` once the key in its place is the
# only one that is needed still.
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
# One that is under way here needs its other key.
test -e /var/lib/infisical-rotation/state || echo known

# Lets another node's PostgreSQL become the primary, if the one here is it: that takes two seconds,
# where its end would be noticed after twenty. Run by systemd's infisical-unlock.service before Docker
# stops, whatever for. Where no other can take over, Docker stops all the same.
set -eu
. ./patroni.sh
patience=15
id=$(container postgres)
test -n "$id" || exit 0
name=$(docker exec "$id" printenv PATRONI_NAME) || exit 0
# Of one that is none, Patroni says so and does nothing.
to_patroni POST 127.0.0.1 switchover "{\"leader\": \"$name\"}" 2>/dev/null || true

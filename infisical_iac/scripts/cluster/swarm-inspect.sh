# Prints the host's state in the swarm, and that of the files that the hosts share. Prints nothing
# secret.
. ./nodes.sh
. ./state.sh
. ./containers.sh
TOPOLOGY=swarm
data=/var/lib/docker/volumes/infisical_patroni/_data/pgdata/pgroot/data

# Prints the host's address on the default route; the kernel is asked without sending a packet.
address() {
    {
        ip -o route get 192.0.2.1 || ip -o -6 route get 2001:db8::1
    } 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p' | head -n 1
}

# Succeeds if the kernel can balance connections, which a service's own address needs.
ipvs() { test -e /proc/net/ip_vs || modprobe --dry-run --quiet ip_vs 2>/dev/null; }

# Succeeds if the kernel can encrypt an overlay network. ESP with Docker's cipher, for marked
# packets only, is tried in a namespace of its own. Docker's version decides which match marks the
# packets; only the kernel's modules are checked, since iptables may not be installed yet.
esp() {
    matches || return 1
    key=0x$(printf %040d 1)
    unshare --net sh -c "ip xfrm state add src 127.0.0.1 dst 127.0.0.2 proto esp spi 0x1000 \
        mode transport aead 'rfc4106(gcm(aes))' $key 64 &&
        ip xfrm policy add src 127.0.0.1 dst 127.0.0.2 proto udp dport 4789 dir out \
            mark 0xd0c4e3 mask 0xffffffff tmpl proto esp mode transport" \
        >/dev/null 2>&1
}

matches() {
    for module in xt_bpf xt_u32; do
        if [ -e "/sys/module/$module" ] || modprobe --dry-run --quiet "$module" 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

# Prints `healthy` if this node's etcd is, which needs a majority; an etcd that has just
# started gets a second try. Prints `lost` if it has no volume, has ended by itself three times or
# more, or was abandoned by a run. Prints nothing in between.
etcd() {
    id=$(container etcd)
    for attempt in 1 2; do
        ! docker exec "$id" etcdctl endpoint health >/dev/null 2>&1 || { echo healthy; return; }
    done
    ended=$(docker ps --all --quiet --filter "volume=infisical_etcd" --filter exited=1 --filter exited=2)
    volume=/var/lib/docker/volumes/infisical_etcd
    if [ ! -d $volume ] || [ -e $volume/abandoned ] || [ "$(echo "$ended" | grep -c .)" -ge 3 ]; then
        echo lost
    fi
}

primary() {
    test "$(docker exec "$(container postgres)" psql --host /run/postgresql --username infisical --dbname postgres -XAt \
        --command 'SELECT pg_is_in_recovery()' 2>/dev/null)" = f
}

# A copy of the data writes this file last, so an incomplete copy lacks it.
has_data() { test -s "$data/global/pg_control"; }

# Prints "<timeline> <position>" of the last record in the WAL, even if PostgreSQL does not run. The
# newest segments may have no record yet: PostgreSQL recycles old segments.
written() {
    image=$(awk '/^  postgres-/ { its = 1 } its && $1 == "image:" { print $2; exit }' "$root/stack.yaml")
    docker run --rm --pull never --network none --user 0:0 --entrypoint sh \
        --volume "$data:/data:ro" "$image" -c '
        cd /data && programs=/usr/lib/postgresql/$(cat PG_VERSION)/bin
        timeline=$(ls pg_wal | grep -xE "[0-9A-F]{24}" | cut -c 1-8 | sort | tail -n 1)
        for segment in $(ls -r pg_wal | grep -xE "$timeline[0-9A-F]{16}"); do
            last=$("$programs/pg_waldump" --path=pg_wal "$segment" 2>/dev/null |
                sed -n "s/.* lsn: \([0-9A-F/]*\),.*/\1/p" | tail -n 1)
            test -z "$last" || { echo "$timeline $last"; break; }
        done' 2>/dev/null
}

echo "address $(address)"
! ipvs || echo ipvs
! esp || echo esp
test ! -e "$root/compose.yaml" || echo single
test ! -e "$root/stack.yaml" || echo stack
echo "mark $(cat "$root/swarm" 2>/dev/null)"
! has_data || echo data
echo "serial $(cat "$root/serial" 2>/dev/null)"
echo "led $(cat "$root/led" 2>/dev/null)"
test ! -s "$root/keys/encryption_key" ||
    echo "key $(sha256sum <"$root/keys/encryption_key" | cut -c 1-16)"
echo "state $(digest)"
docker info --format 'info {{ json .Swarm }}{{ if .LiveRestoreEnabled }}
live-restore{{ end }}' 2>/dev/null
# Only the engine of a manager knows the key and the nodes.
if key=$(docker swarm unlock-key --quiet 2>/dev/null) && [ -n "$key" ] &&
    [ "$key" = "$(cat "$root/keys/swarm_unlock_key" 2>/dev/null)" ]; then echo unlocks; fi
if [ -e "$root/stack.yaml" ]; then
    found=$(etcd)
    echo "etcd $found"
    if [ "$found" != healthy ]; then
        if primary; then echo primary; elif has_data; then echo "wal $(written)"; fi
    fi
fi
inspect_nodes 'node {{ json . }}' 2>/dev/null
true

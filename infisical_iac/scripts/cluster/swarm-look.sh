# What a host has of the swarm, and of the state that the hosts share. Nothing secret is printed.
. ./nodes.sh
. ./state.sh
. ./containers.sh
TOPOLOGY=swarm
data=/var/lib/docker/volumes/infisical_patroni/_data/pgdata/pgroot/data

# The source of what leaves by the default route; nothing is sent to ask for it.
address() {
    {
        ip -o route get 192.0.2.1 || ip -o -6 route get 2001:db8::1
    } 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p' | head -n 1
}

# Balancing in the kernel, by which a service has an address of its own.
ipvs() { test -e /proc/net/ip_vs || modprobe --dry-run --quiet ip_vs 2>/dev/null; }

# Encryption of an overlay, tried where nothing feels it: ESP with the cipher that Docker asks for, and
# that it is for marked packets alone. The rule that marks them is Docker's own, with one match or
# another by its version: iptables may not be there yet, so only what the kernel has of it is asked.
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

# Whether the etcd here is `healthy`, with most of the others behind it; one that has just started
# gets another try. It is `lost` without a volume, or where it has ended by itself three times and
# more, or where a run has abandoned it.
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

# Of a copy that was being made, this file comes last.
has_data() { test -s "$data/global/pg_control"; }

# "<timeline> <position>" of the last record that the server here has written, whether it runs or not:
# its service may be gone. The newest segments may hold none yet, only what was there before.
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
# An engine that is a manager knows the key and all nodes.
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

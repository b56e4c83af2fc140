# Unlocks the host's swarm node, which is locked whenever Docker starts; run by systemd's
# infisical-unlock.service. Docker reads the key from standard input.
set -eu
. ./overlays.sh
key=/etc/infisical/keys/swarm_unlock_key
# No task runs on a locked manager yet. A worker's task that is just starting is tried again.
forget_interfaces
for attempts in $(seq 30); do
    case $(docker info --format '{{ .Swarm.LocalNodeState }}' 2>/dev/null) in
    locked) timeout 60 docker swarm unlock <"$key" || true ;;
    active | inactive) exit 0 ;;
    esac
    sleep 1
done
echo "<3>The host's swarm node is still locked after a minute" >&2
exit 1

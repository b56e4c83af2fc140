# Prints the part of a node's health that concerns the cluster:
#
#   member <name> <status> <availability> <manager> <number>   a node as a manager sees it, by its
#                          name in the inventory; the fourth word is leader, reachable, unreachable
#                          or -, the last one is the number of its data, 0 for none
#   task <service> <image> <status> <health>          a container that runs here; the health of a
#                          replica of Infisical is `unready` if it answers, but has lost its
#                          database or Redis
#   postgres <primary|standby>                        the role of this node's PostgreSQL
#   replica <name> <state> <sync> <bytes>             a standby of it, with its lag
#   given-up <database> <since> <writes> <images>     as databases.sh prints it; only by the primary
#   etcd <healthy|unhealthy>                          the answer of this node's member
#   redis <master|slave>                              the role of this node's Redis
#   sentinel <name>                                   the master, as this node's sentinel sees it
#   tls <level>                                       the lowest level of TLS among the services, as
#                                                     a manager sees it; 3 is complete
#   leaf <seconds>                                    the end of the first certificate that ends,
#                                                     since the epoch
#   overlay <encrypted|plain>                         the network that carries requests to Infisical
#   log <JSON>                                        a line of the audit log
set -u
. ./containers.sh
. ./nodes.sh
. ./readiness.sh

in_container() { # in_container <service> <command …>
    id=$(container "$1")
    shift
    test -z "$id" || timeout 10 docker exec --env REDISCLI_AUTH "$id" "$@" 2>/dev/null
}

inspect_nodes 'member {{
    with index .Spec.Labels "infisical.host" }}{{ . }}{{ else }}{{ .Description.Hostname }}{{ end }} {{
    .Status.State }} {{ .Spec.Availability }} {{ with .ManagerStatus }}{{
        if .Leader }}leader{{ else }}{{ .Reachability }}{{ end }}{{ else }}-{{ end }} {{
    with index .Spec.Labels "infisical.node" }}{{ . }}{{ else }}0{{ end }}'
docker ps --quiet --filter label=com.docker.stack.namespace=infisical 2>/dev/null |
    xargs --no-run-if-empty docker inspect --format 'task {{
        index .Config.Labels "com.docker.swarm.service.name" }} {{ .Config.Image }} {{
        .State.Status }} {{ if .State.Health }}{{ .State.Health.Status }}{{ else }}none{{ end }} {{
        .State.Pid }}' |
    while read -r what service image status health pid; do
        # On a full disk Docker may not store a container's end, and lists it until a restart.
        test "$status" != exited || continue
        case $service:$health in
        infisical_infisical:healthy) ! unready "$pid" || health=unready ;;
        esac
        echo "$what $service $image $status $health"
    done
if [ -n "$(container postgres)" ]; then
    in_container postgres psql --username infisical --dbname postgres --no-align --tuples-only \
        --field-separator ' ' --command "
        SELECT 'postgres', CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END;
        SELECT 'replica', application_name, state, sync_state,
            coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint
        FROM pg_stat_replication WHERE NOT pg_is_in_recovery() AND application_name <> 'pg_basebackup';
        SELECT 'given-up', datname, coalesce(shobj_description(oid, 'pg_database'), 'unknown unknown')
        FROM pg_database WHERE NOT pg_is_in_recovery() AND datname LIKE 'infisical\_given\_up\_%'" ||
        echo "postgres silent"
fi
if [ -n "$(container etcd)" ]; then
    in_container etcd etcdctl endpoint health >/dev/null && echo "etcd healthy" || echo "etcd unhealthy"
fi
REDISCLI_AUTH=$(cat /etc/infisical/keys/redis_password 2>/dev/null)
export REDISCLI_AUTH
echo "redis $(in_container redis sh -c 'redis-cli $CLI role' | head -n 1)"
echo "sentinel $(in_container sentinel sh -c '
    redis-cli $CLI -p 26379 sentinel get-master-addr-by-name infisical' | head -n 1)"
docker service ls --quiet --filter label=com.docker.stack.namespace=infisical 2>/dev/null |
    xargs --no-run-if-empty docker service inspect --format '{{ .Spec.Name }} tls {{
        with index .Spec.Labels "infisical.tls" }}{{ . }}{{ else }}0{{ end }}' 2>/dev/null |
    sed '/^infisical_caddy /d; s/.* tls/tls/' | sort | head -n 1
for file in /etc/infisical/tls/*.pem; do
    ends=$(openssl x509 -noout -enddate -in "$file" 2>/dev/null) &&
        echo "leaf $(date --date "${ends#notAfter=}" +%s)"
done | sort -k 2n | head -n 1
docker network inspect --format '{{ json .Options }}' infisical-edge 2>/dev/null | sed '
    s/.*"encrypted".*/overlay encrypted/
    s/^{.*/overlay plain/'
sed 's/^/log /' /var/log/infisical-iac/audit.jsonl 2>/dev/null
true

# Detects a replica of Infisical that was ready and no longer is. Its health check touches a file
# each time that it is ready; Swarm itself only knows whether the replica answers. A minute is as
# long as two intervals and two checks that time out. stack_file.py sets the interval, and
# templates/cluster/stack/infisical.yaml.j2 the timeout.
#
#   unready <pid>   succeeds if the replica has not been ready for a minute
unready() {
    ready=/proc/$1/root/dev/shm/ready
    test -e "$ready" && test $(($(date +%s) - $(stat --format %Y "$ready"))) -gt 60
}

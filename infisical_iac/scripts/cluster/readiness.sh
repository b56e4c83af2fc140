# Whether a replica of Infisical that was ready once still is, by the file that its health check
# touches each time; Swarm itself only tells whether it answers. The minute is as long as two
# intervals and checks, which stack_file.py sets.
#
#   unready <pid>   true of one that has not been ready for a minute
unready() {
    ready=/proc/$1/root/dev/shm/ready
    test -e "$ready" && test $(($(date +%s) - $(stat --format %Y "$ready"))) -gt 60
}

# Prints the host's health, a line for each fact: status.sh <lock file> <name> <port>
#
#   engine                         Docker answers
#   busy <name>                    the holder of the lock
#   container <service> <image> <status> <health>
#   disk <free> <size>             of Docker's file system, or of the data volume's if that has less
#                                  free space, in kibibytes
#   credentials <name> <made> <ends>   a client secret that expires
#   certificate <seconds>          the end of the one served for <name> at <port>, since the epoch
#   backups <seconds> <JSON>       the time when they were set up; the result of the last run, if
#                                  any
#   saved <target> <seconds>       the time when this host last saved there, if ever
#   drills <seconds> <JSON>        as for backups
#   closed <seconds>               the time since when the edge is closed for a change, if it is
#   unfinished <what> <state>      a restore, upgrade or scale that has not ended
#   given-up …                     as given-up.sh prints it
#   firewall <loaded|failed|ssh-only|none>   the rules in force: the desired ones, earlier ones
#                                  because the desired ones can't be loaded, only SSH's, or none; no
#                                  line on a host without a firewall
set -u
. ./given-up.sh
main=infisical_postgres
if docker ps >/dev/null 2>&1; then
    echo engine
    given_up
    docker ps --all --quiet --filter label=com.docker.compose.project=infisical |
        xargs --no-run-if-empty docker inspect --format 'container {{
            index .Config.Labels "com.docker.compose.service" }} {{ .Config.Image }} {{
            .State.Status }} {{ if .State.Health }}{{ .State.Health.Status }}{{ else }}none{{ end }}'
fi
df -Pk /var/lib /var/lib/docker /var/lib/docker/volumes 2>/dev/null |
    awk 'NR == 2 || NR > 2 && $4 < free { free = $4; size = $2 } END { print "disk", free, size }'
test ! -e "$1" || flock --nonblock "$1" true || echo "busy $(head -n 1 "$1")"
for file in /etc/infisical/credentials/*.env; do
    name=$(basename "$file" .env)
    sed -n "s/^# ends \([0-9TZ:-]*\), made \([0-9TZ:-]*\)\$/credentials $name \2 \1/p" "$file" 2>/dev/null
done
if [ -n "$2" ]; then
    ends=$(timeout 10 openssl s_client -connect "127.0.0.1:$3" -servername "$2" </dev/null 2>/dev/null |
        openssl x509 -noout -enddate 2>/dev/null)
    test -z "$ends" || echo "certificate $(date --date "${ends#notAfter=}" +%s)"
fi
password=/etc/infisical/keys/restic_password
test ! -e $password || echo "backups $(stat -c %Y $password)" \
    "$(cat /var/lib/infisical-backup/last.json 2>/dev/null | tr '\n' ' ')"
for file in /var/lib/infisical-backup/targets/*; do
    sed -n "s/^success /saved $(basename "$file") /p" "$file" 2>/dev/null
done
timer=/etc/systemd/system/infisical-drill.timer
test ! -e $timer || echo "drills $(stat -c %Y $timer) $(cat /var/lib/infisical-drill/last.json 2>/dev/null)"
stat --format 'closed %Y' /etc/infisical/ingress/closed 2>/dev/null
for what in restore upgrade scale; do
    state=/var/lib/infisical-$what/state
    test ! -e $state || echo "unfinished $what $(cat $state)"
done
if test -e /etc/infisical-iac/firewall.nft; then
    rules=$(nft list table inet infisical 2>/dev/null)
    case $rules in
    "") echo "firewall none" ;;
    *"chain ssh_only"*) echo "firewall ssh-only" ;;
    *) systemctl --quiet is-failed infisical-firewall.service &&
        echo "firewall failed" || echo "firewall loaded" ;;
    esac
fi
true

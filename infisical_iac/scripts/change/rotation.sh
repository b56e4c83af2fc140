# Replaces a key of the host by a new one. Each step can be killed and undone:
#
#   rotation.sh list            prints "key <file> <seconds>" for each key: when it was made, since the
#                               epoch
#   rotation.sh targets         prints "target <name>" for each backup target, and "other <file>" for
#                               each former repository that the host remembers
#   rotation.sh replaces        prints "yes" if Infisical's database can have a second encryption key
#   rotation.sh prepare <key>   makes the next key, next to the one in use, or reads it from standard
#                               input for a secret that the user gives; phase prepared
#   rotation.sh switch          puts the next key in place, and keeps the old one next to it; phase
#                               switched
#   rotation.sh alter           gives PostgreSQL the password that is in place
#   rotation.sh back            puts the old key in place again; phase back
#   rotation.sh end             removes the key that is not in place
#
# `state` in the directory below has the key and the phase. /etc/infisical/keys has <key>.next before
# the switch and <key>.old after it; <key> itself is whole at every moment.
. ./exclusive.sh
. ./compose.sh
. ./database.sh
. ./variables.sh
here=/var/lib/infisical-rotation
backups=/var/lib/infisical-backup

list() {
    for file in "$root"/keys/*; do
        case $file in
        *.new | *.next | *.old | */'*') ;;
        *) echo "key $(basename "$file") $(stat --format %Y "$file")" ;;
        esac
    done
}

targets() {
    test -e "$root/backup/backup.conf" || exit 0
    take_variables "$root/backup/backup.conf" TARGETS
    known=
    for target in $TARGETS; do
        echo "target $target"
        take_variables "$root/backup/$target.conf" REPOSITORY
        known="$known $(echo "$REPOSITORY" | sha256sum | cut -c 1-16) "
    done
    for file in "$backups"/repositories/*; do
        test ! -e "$file" || case $known in
        *" $(basename "$file") "*) ;;
        *) echo "other $file" ;;
        esac
    done
}

running() {
    docker ps --quiet --filter "label=$project" --filter label=com.docker.compose.service=postgres
}

replaces() {
    find_database
    echo "SELECT DISTINCT 'yes' FROM information_schema.columns
        WHERE table_name = 'kms_root_config' AND column_name IN ('kekLabel', 'supersededAt')" | sql
}

current() {
    read -r key phase <"$here/state" || fail "no rotation is under way"
    place="$root/keys/$key"
}

enter() {
    phase=$1
    echo "$key $phase" | store "$here/state"
}

new_key() {
    case $key in
    given_*) cat ;;
    *) random 32 ;;
    esac
}

prepare() {
    test ! -e "$here/state" || fail "another rotation has not ended"
    # A running backup would lose its database, or lock its repository.
    test ! -d "$backups" || flock --wait 600 "$backups/lock" true ||
        fail "a backup, or a drill that reads one, has been at work for 10 minutes: wait for its \
end, or end it with \`systemctl stop infisical-backup infisical-drill\`"
    key=$1
    enter prepared
    new_key | store "$root/keys/$key.next"
}

switch() {
    current
    enter switching
    if [ -e "$place.next" ]; then
        store "$place.old" <"$place"
        replace "$place.next" "$place"
    fi
    enter switched
}

start_database() {
    if [ -z "$(running)" ]; then
        said=$(compose --project-name infisical --project-directory "$root" \
            --file "$root/compose.yaml" up --detach postgres 2>&1) ||
            fail "the database does not start: $(echo "$said" | tail -n 1)"
    fi
    find_database
    for attempt in $(seq 240); do
        docker exec "$database" pg_isready --quiet --username infisical --host 127.0.0.1 && break
        sleep 0.5
    done
}

alter() {
    current
    if docker service inspect infisical_infisical >/dev/null 2>&1; then
        find_database
        find_password || fail "the database can't be reached: $(echo "$said" | tail -n 1)"
        by=haproxy
    else
        start_database
        by=postgres
    fi
    said=$(change_password 2>&1) ||
        fail "PostgreSQL does not accept the new password: $(echo "$said" | tail -n 1)"
    said=$(echo "$(cat "$place")" | docker exec --interactive "$database" sh -c '
        IFS= read -r PGPASSWORD; export PGPASSWORD
        psql --no-psqlrc --username infisical --dbname infisical --host "$1" --command "SELECT 1"
        ' sh "$by" 2>&1) || fail "PostgreSQL does not know its new password: $(echo "$said" | tail -n 1)"
}

back() {
    current
    enter backing
    if [ -e "$place.old" ]; then
        # A cluster's database has this password until it gets the old one back.
        store "$place.next" <"$place"
        replace "$place.old" "$place"
    fi
    enter back
}

end() {
    current
    case $phase in
    prepared | back | proven) ;;
    switched)
        enter proven
        ;;
    *) fail "the rotation is in phase $phase, and can't end yet" ;;
    esac
    discard "$place".next* "$place".old*
    discard "$here/state"
}

case $1 in
list | targets | replaces) ;;
*) lock_directory "$here" ;;
esac
"$@"

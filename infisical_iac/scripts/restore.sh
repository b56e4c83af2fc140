# A loaded snapshot put in the place of the data, in steps of which each can be killed and undone:
#
#   restore.sh state           "<stamp> <phase>" of a restore that has not ended
#   restore.sh begin <stamp>   nothing is touched yet; phase begun
#   restore.sh aside <path>…   moves these of /etc/infisical aside; phase keys
#   restore.sh put <path>      writes standard input, in base64, to a file of /etc/infisical
#   restore.sh swap <volume>   the data of this Docker volume take the place of those that are
#                              there, which move aside; Infisical is stopped then; phase data
#   restore.sh back            undoes all since `begin`; the containers stay stopped; phase back
#   restore.sh forget          ends what has been undone
#   restore.sh end             leaves aside what is there, and prints where
#
# In the directory below are `state`, what snapshot.sh makes, and in `aside/<stamp>`: `files` as
# they were, the names of those that were not there in `new`, and in `volume` the name of the
# Docker volume that the old data go to, if there were any.
. ./data.sh

state() { cat "$here/state" 2>/dev/null || true; }

current() {
    read -r stamp phase <"$here/state" || fail "no restore is at work"
    kept="$here/aside/$stamp"
}

enter() { echo "$stamp $1" | store "$here/state"; }

begin() {
    test ! -e "$here/state" || fail "another restore has not ended"
    without_backups
    mkdir -p "$here/aside/$1/files"
    stamp=$1
    enter begun
}

keep() {
    if [ -e "$kept/files/$1" ] || grep -qsxF "$1" "$kept/new"; then
        return
    elif [ -e "$root/$1" ]; then
        mkdir -p "$(dirname "$kept/files/$1")"
        cp --preserve "$root/$1" "$kept/files/$1.keeping"
        sync "$kept/files/$1.keeping"
        mv "$kept/files/$1.keeping" "$kept/files/$1"
    else
        echo "$1" >>"$kept/new"
    fi
}

aside() {
    current
    enter keys
    for path; do
        keep "$path"
        rm -f "$root/$path"
    done
}

put() {
    mkdir -p "$(dirname "$root/$1")"
    base64 --decode | store "$root/$1"
}

swap() {
    current
    test "$phase" != data || fail "the data were swapped already"
    ! there "$main" || echo "${main}_before_$stamp" | store "$kept/volume"
    keep compose.yaml
    keep workspace.json
    enter data
    stop
    if [ -e "$kept/volume" ]; then
        put_aside "$(cat "$kept/volume")"
    else
        docker volume create --label "$project" --label com.docker.compose.volume=postgres \
            "$main" >/dev/null
    fi
    move "$1" "$main"
    empty_redis
    remember
}

data_back() {
    keep_logs "$here/failed-$stamp.log" || true
    stop
    if [ -e "$kept/volume" ]; then
        take_back "$(cat "$kept/volume")"
        return
    fi
    found=$(containers)
    test -z "$found" || docker rm --force $found >/dev/null
    ! there "$main" || docker volume rm "$main" >/dev/null
}

files_back() {
    cd "$kept/files"
    find . -type f ! -name '*.keeping' | while read -r path; do
        cp --preserve "$path" "$root/$path.new"
        mv -f "$root/$path.new" "$root/$path"
    done
    test ! -e "$kept/new" || while read -r path; do rm -f "$root/$path"; done <"$kept/new"
    cd /
}

back() {
    current
    case $phase in
    back) return ;;
    data) data_back ;;
    esac
    files_back
    enter back
}

forget() {
    current
    test "$phase" = back || fail "the restore is $phase, and has not been undone"
    rm -rf "$kept"
    rm -f "$here/state"
}

end() {
    current
    rm -f "$here/state"
    test ! -e "$kept/volume" || echo "volume $(cat "$kept/volume")"
    test -n "$(ls -A "$kept/files")" || rm -rf "$kept"
}

here=/var/lib/infisical-restore
test "$1" = state || alone "$here"
"$@"

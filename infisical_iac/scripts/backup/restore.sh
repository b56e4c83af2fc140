# Replaces the data by a loaded snapshot. Each step can be killed and undone:
#
#   restore.sh state           prints "<stamp> <phase>" of an unfinished restore
#   restore.sh begin <stamp>   changes nothing yet; phase begun
#   restore.sh aside <path>…   moves these files of /etc/infisical aside; phase keys
#   restore.sh put <path>      writes standard input, in base64, to a file of /etc/infisical, if a
#                              recovery kit can have such a file
#   restore.sh swap <volume>   replaces the data by those of this Docker volume, and moves the old
#                              ones aside; Infisical is stopped then; phase data
#   restore.sh back            undoes all since `begin`, and leaves the containers stopped; phase
#                              backing if the data were swapped, then back; prints the data that
#                              were given up, as data.sh does
#   restore.sh forget          ends a restore that was undone
#   restore.sh end             ends a proven restore; prints where the old data are, and which of
#                              the data given up earlier were removed and which are kept
#
# The directory below has `state`, the files of snapshot.sh, and `aside/<stamp>`, in which `files` are
# the old files, `new` lists the files that did not exist, and `volume` has the name of the Docker
# volume for the old data, if there were any.
. ./data.sh
. ./restoring.sh

swap() {
    current
    test "$phase" != data || fail "the data were swapped already"
    ! there "$main" || echo "${main}_before_$stamp" | store "$kept/volume"
    keep compose.yaml
    keep workspace.json
    enter data
    stop
    started | store "$here/started"
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
    if [ "$phase" != backing ]; then
        stop_infisical
        count_writes
    fi
    enter backing
    stop
    if [ -e "$kept/volume" ]; then
        take_back "$(cat "$kept/volume")" "$stamp"
        return
    fi
    give_up "$stamp"
    found=$(containers)
    test -z "$found" || docker rm --force $found >/dev/null
    ! there "$main" || docker volume rm "$main" >/dev/null
}

end() {
    current
    forget_given_up
    discard "$here/state"
    test ! -e "$kept/volume" || echo "volume $(cat "$kept/volume")"
    drop_if_empty
}

test "$1" = state || lock_directory "$here"
"$@"
test "$1" != back || given_up "$stamp"

# A loaded snapshot put in the place of the data, in steps of which each can be killed and undone:
#
#   restore.sh state           "<stamp> <phase>" of a restore that has not ended
#   restore.sh begin <stamp>   nothing is touched yet; phase begun
#   restore.sh aside <path>…   moves these of /etc/infisical aside; phase keys
#   restore.sh put <path>      writes standard input, in base64, to a file of /etc/infisical,
#                              if a recovery kit can have such a one
#   restore.sh swap <volume>   the data of this Docker volume take the place of those that are
#                              there, which move aside; Infisical is stopped then; phase data
#   restore.sh back            undoes all since `begin`; the containers stay stopped; phase backing
#                              where the data were swapped, then back; prints what data.sh calls
#                              given up
#   restore.sh forget          ends what has been undone
#   restore.sh end             leaves aside what is there, and prints where, and what goes and what
#                              stays of what was given up before
#
# In the directory below are `state`, what snapshot.sh makes, and in `aside/<stamp>`: `files` as
# they were, the names of those that were not there in `new`, and in `volume` the name of the
# Docker volume that the old data go to, if there were any.
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

test "$1" = state || alone "$here"
"$@"
test "$1" != back || given_up "$stamp"

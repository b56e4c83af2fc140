# Changes the version. Each step can be killed and undone:
#
#   upgrade.sh begin <release> <image>   begins a change to the image; the release keeps the running
#                                   version; phase begun
#   upgrade.sh pause                stops Infisical, so that nobody writes; phase paused
#   upgrade.sh take <release>       selects this release's dump for snapshot.sh, and prints its
#                                   manifest
#   upgrade.sh swap <volume> [data] replaces the data by those of this Docker volume, and
#                                   compose.yaml by the new one; all is stopped then. With `data`,
#                                   empties Redis, and restores the deploy's record of its
#                                   resources; phase swapped
#   upgrade.sh end_closed           ends what the stack has only while it is checked: the port that is
#                                   forwarded to it, its database in Redis, and closed.yaml
#   upgrade.sh back                 undoes all since `begin`, except for what end_closed ends, and
#                                   leaves the containers stopped; phase backing, then back; prints
#                                   data that were given up, as given-up.sh does
#   upgrade.sh end                  removes the old data of a proven change, and prints which data
#                                   given up earlier were removed and which are kept; removes the dump
#                                   after a rollback
#
# The directory below has `state`, the new compose.yaml, closed.yaml, and `fetched` for snapshot.sh.
# infisical_iac/change/__init__.py describes releases.
. ./data.sh
. ./changing.sh
. ./forwarding.sh

pause() {
    current
    enter paused
    stop_infisical
}

swap() {
    current
    enter swapping
    stop
    started | store "$here/started"
    put_aside "$old"
    move "$1" "$main"
    if [ "${2-}" = data ]; then
        empty_redis
        remember
    fi
    store "$root/compose.yaml" <"$here/compose.yaml"
    enter swapped
}

# The database in Redis is that of stack/model.py.
end_closed() {
    close_port infisical
    docker exec "$(of_service redis)" sh -c \
        'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -n 1 flushdb' >/dev/null 2>&1 || true
    rm -f "$here/closed.yaml"
}

back() {
    current
    case $phase in
    # The disk may be full of the dump.
    begun | paused) rm -rf "$of_release/snapshot" "$of_release/database.dump" ;;
    back) ;;
    proven) fail "the change of version is proven and can't be undone: change the version again" ;;
    *)
        keep_logs "$of_release/failed.log" || true
        if [ "$phase" != backing ]; then
            stop_infisical
            count_writes
        fi
        enter backing
        stop
        take_back "$old" "$stamp"
        ;;
    esac
    if [ -s "$of_release/images" ]; then
        store "$root/compose.yaml" <"$of_release/compose.yaml"
        test ! -e "$of_release/workspace.json" ||
            store "$root/workspace.json" <"$of_release/workspace.json"
    fi
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $target" | store "$of_release/failed" || true
    enter back
    close_port infisical
    given_up "$stamp"
}

end() {
    current
    case $phase in
    swapped | proven)
        enter proven
        ! there "$old" || docker volume rm "$old" >/dev/null
        forget_given_up
        ;;
    back) rm -rf "$of_release/snapshot" "$of_release/database.dump" ;;
    *) fail "the change of version is in phase $phase, and can't end yet" ;;
    esac
    rm -rf "$here/fetched" "$here/compose.yaml" "$of_release/listed" "$of_release/tags"
    forget_notes
    discard "$here/state"
}

lock_directory /var/lib/infisical-upgrade
"$@"

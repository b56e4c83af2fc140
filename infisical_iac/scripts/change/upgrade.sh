# A change of version, in steps of which each can be killed and undone:
#
#   upgrade.sh begin <release> <image>   what runs has been made a release; <image> is what it is to
#                                   be changed to; phase begun
#   upgrade.sh pause                stops Infisical, so that nobody writes; phase paused
#   upgrade.sh take <release>       the dump that snapshot.sh loads is to be this release's; prints
#                                   its manifest
#   upgrade.sh swap <volume> [data] the data of this Docker volume and the new compose.yaml take
#                                   the place of the old ones; all is stopped then; with `data`,
#                                   Redis and what the deploy remembers follow; phase swapped
#   upgrade.sh back                 undoes all since `begin`; the containers stay stopped; phase
#                                   backing, then back; prints what data.sh calls given up
#   upgrade.sh end                  drops the old data if the new ones have been proven, and prints
#                                   what goes and what stays of what was given up before; drops the
#                                   dump if the old ones are back
#
# In the directory below are `state`, the new compose.yaml, and `fetched` for snapshot.sh; releases
# are as infisical_iac/change/__init__.py says.
. ./data.sh
. ./changing.sh

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

back() {
    current
    case $phase in
    # The disk may be full of the dump.
    begun | paused) rm -rf "$of_release/snapshot" "$of_release/database.dump" ;;
    back) ;;
    proven) fail "what was changed is proven: there is no way back but to change it again" ;;
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
    *) fail "the change of version is $phase, and has no end yet" ;;
    esac
    rm -rf "$here/fetched" "$here/compose.yaml" "$of_release/listed" "$of_release/tags"
    forget_notes
    discard "$here/state"
}

alone /var/lib/infisical-upgrade
"$@"

# Moves Infisical's data from the cluster to the host that leads it. Each step can be killed and
# undone:
#
#   scale-in.sh state           prints "<stamp> in <phase>" of an unfinished migration
#   scale-in.sh begin <stamp> in   changes nothing yet; phase begun
#   scale-in.sh pause           stops the cluster's Infisical, so that nobody writes; phase paused
#   scale-in.sh take            selects the new dump for the load; prints its manifest
#   scale-in.sh switch <volume> removes the cluster's ingress, and gives the single host the data of
#                               this Docker volume and the compose.yaml in the directory below;
#                               phase switched
#   scale-in.sh back            undoes all since `begin`; the caller rolls the cluster's services
#                               out next; phase back
#   scale-in.sh proven          notes that the migrated data are right, before the cluster is
#                               removed; phase proven
#   scale-in.sh end             ends a migration that is proven or undone; prints what is kept
. ./data.sh
. ./scaling.sh
. ./tasks.sh

aside_name() { echo "${main}_before_$stamp"; }

may_begin() {
    test -e "$root/stack.yaml" || fail "Infisical does not serve from a cluster that this host leads"
}

pause() {
    current
    enter paused
    without_replicas
}

switch() {
    current
    enter switching
    stop_ingress
    if holds "$main"; then
        put_aside "$(aside_name)"
    elif ! there "$(aside_name)"; then
        echo "$stamp" | store "$here/without-data"
    fi
    there "$main" || docker volume create --label "$project" \
        --label com.docker.compose.volume=postgres "$main" >/dev/null
    move "$1" "$main"
    empty_redis
    store "$root/compose.yaml" <"$here/compose.yaml"
    enter switched
}

back() {
    current
    case $phase in
    proven) fail "the migration is proven and can't be undone: scale out again to reverse it" ;;
    begun | paused | back) ;;
    *)
        keep_logs "$here/failed-$stamp.log" || true
        case $phase in switching | switched)
            stop_infisical
            count_writes
            ;;
        esac
        enter backing
        stop
        found=$(containers)
        test -z "$found" || docker rm $found >/dev/null
        discard "$root/compose.yaml"
        if [ -e "$here/without-data" ]; then
            give_up "$stamp"
            ! there "$main" || docker volume rm "$main" >/dev/null
        fi
        take_back "$(aside_name)" "$stamp"
        ;;
    esac
    enter back
}

proven() {
    current
    test "$phase" = switched || test "$phase" = proven || fail "the migration is only in phase $phase"
    enter proven
}

end() {
    current
    case $phase in
    proven)
        ! there "$(aside_name)" || echo "volume $(aside_name)"
        forget_given_up
        ;;
    back) given_up "$stamp" ;;
    *) fail "the migration is in phase $phase, and can't end yet" ;;
    esac
    forget
}

here=/var/lib/infisical-scale
test "$1" = state || lock_directory "$here"
"$@"

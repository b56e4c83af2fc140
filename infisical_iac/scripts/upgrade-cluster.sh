# A change of version on a cluster, in steps of which each can be killed and undone:
#
#   upgrade-cluster.sh begin <release> <image>   what runs has been made a release; <image> is what it
#                                       is to be changed to; phase begun
#   upgrade-cluster.sh pause            stops Infisical, so that nobody writes; phase paused
#   upgrade-cluster.sh take <release>   the dump that `load` reads is this release's; prints its
#                                       manifest
#   upgrade-cluster.sh load             that dump, into a database of its own; prints "<table> <rows>"
#   upgrade-cluster.sh swap             it takes the place of the one that is there, which moves
#                                       aside; phase swapped
#   upgrade-cluster.sh roll             from here on the new version may run on the data that are
#                                       there; phase swapped
#   upgrade-cluster.sh back             the old data are in their place, as far as they were moved;
#                                       phase backing, then back
#   upgrade-cluster.sh keep             the dump of the release stays though the old data are back, for
#                                       secrets are gone that are in it
#   upgrade-cluster.sh revert           the old version can't use the data that are there any more:
#                                       those of the release take their place, which move aside, and
#                                       it prints where to
#   upgrade-cluster.sh end              drops the old data if the new ones have been proven, and the
#                                       dump if the old ones are back
. ./databases.sh
. ./changing.sh

aside_name() { echo "$old" | tr TZ tz; }

pause() {
    current
    enter paused
    without_replicas
}

swap() {
    current
    enter swapping
    without_replicas
    exchange "$(aside_name)"
    empty_redis
    remember
    enter swapped
}

roll() {
    current
    enter swapped
}

back() {
    current
    case $phase in
    begun | paused) ;;
    *)
        enter backing
        keep_logs "$of_release/failed.log" || true
        take_back "$(aside_name)"
        ;;
    esac
    test ! -e "$of_release/workspace.json" ||
        store "$root/workspace.json" <"$of_release/workspace.json"
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $target" | store "$of_release/failed" || true
    enter back
}

keep() {
    current
    echo "$target" | store "$of_release/kept"
}

# Those that move aside hold what was written since the dump.
revert() {
    current
    find_database
    given_up="${main}_before_$(date -u +%Y%m%dt%H%M%Sz)"
    without_replicas
    exchange "$given_up"
    empty_redis
    echo "$given_up"
}

end() {
    current
    find_database
    case $phase in
    swapped | proven)
        enter proven
        drop "$(aside_name)"
        ;;
    back) test -e "$of_release/kept" || rm -rf "$of_release/snapshot" "$of_release/database.dump" ;;
    *) fail "the change of version is $phase, and has no end yet" ;;
    esac
    drop "$new"
    rm -rf "$here/fetched" "$of_release/listed" "$of_release/tags"
    rm -f "$here/state"
}

alone /var/lib/infisical-upgrade
case $1 in
# Before anything is begun, or paused.
begin)
    find_database
    check_standby
    ;;
esac
"$@"

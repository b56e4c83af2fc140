# restore.sh on a cluster: a loaded snapshot in the place of the database, in steps of which each
# can be killed and undone.
#
#   restore-cluster.sh state           "<stamp> <phase>" of a restore that has not ended
#   restore-cluster.sh begin <stamp>   nothing is touched yet; phase begun
#   restore-cluster.sh aside <path>…   moves these of /etc/infisical aside; phase keys
#   restore-cluster.sh put <path>      writes standard input, in base64, to a file of /etc/infisical,
#                                      if a recovery kit can have such a one
#   restore-cluster.sh load            what snapshot.sh fetched, into a database of its own; prints
#                                      "<table> <rows>"
#   restore-cluster.sh swap            it takes the place of the one that is there, which moves aside;
#                                      Infisical is stopped then; phase data
#   restore-cluster.sh back            undoes all since `begin`; Infisical stays stopped; phase backing
#                                      where the data were swapped, then back; prints what
#                                      databases.sh calls given up
#   restore-cluster.sh forget          ends what has been undone
#   restore-cluster.sh end             leaves aside what is there, and prints where; what an earlier
#                                      restore left goes, and of what was given up, what nobody has
#                                      written to
#
# What is in the directory of restore.sh is the same here, but for `volume`; the old database becomes
# infisical_before_<stamp>.
. ./databases.sh
. ./restoring.sh

# No name of a database that SQL would have to quote.
aside_name() { echo "${main}_before_$stamp" | tr TZ tz; }

swap() {
    current
    test "$phase" != data || fail "the data were swapped already"
    keep workspace.json
    enter data
    without_replicas
    exchange "$(aside_name)"
    empty_redis
    remember
}

data_back() {
    keep_logs "$here/failed-$stamp.log" || true
    without_replicas
    [ "$phase" = backing ] || count_writes "$(stat --format %Y "$here/state")"
    enter backing
    take_back "$(aside_name)" "$stamp"
}

# What other changes have left under such a name may be nowhere else.
of_a_restore='replaced by a restore that was proven'
earlier() {
    echo "SELECT datname, shobj_description(oid, 'pg_database') = '$of_a_restore'
        FROM pg_database WHERE datname LIKE '${main}\_before\_%' AND datname <> '$old'" |
        at_server | tr '|' ' ' | while read -r name replaced; do
        if [ "$replaced" = t ]; then
            drop "$name" </dev/null
        else
            echo "given-up $name"
        fi
    done
}

end() {
    current
    find_database
    old=$(aside_name)
    earlier
    ! there "$old" || echo "COMMENT ON DATABASE $old IS '$of_a_restore'" | at_server
    forget_given_up
    forget_notes
    discard "$here/state"
    ! there "$old" || echo "database $old"
    drop_if_empty
}

test "$1" = state || alone "$here"
"$@"
test "$1" != back || test ! -e "$here/writes" || {
    find_database
    given_up "$stamp"
}

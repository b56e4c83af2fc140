# Manages the block device for the data that outlive the host: database, keys, backups, logs.
#
#   volume.sh inspect <device>  prints the device's content, the host's directories on it, and the
#                               reasons against its use
#   volume.sh format <device>   makes a file system, if the device is entirely empty
#   volume.sh grow <device>     extends a mounted file system to a device that became larger
#   volume.sh mount <uuid>      mounts it and binds each directory to its place on the host; first
#                               moves content of the place that the volume lacks onto the volume
#   volume.sh ours              fails if the host has an Infisical that is not on a volume
#   volume.sh release           the reverse of mount, with Docker stopped, so that the volume can be
#                               detached
#
# The deploy installs it on the host, where infisical-data.service runs it before Docker starts.
set -eu
umask 077
mount=/mnt/infisical-data
mark=$mount/.infisical-iac
access=/var/log/infisical-access/live
docker_volumes=/var/lib/docker/volumes
label=infisical-data
lock=/run/infisical-iac.lock

fail() {
    echo "$1" >&2
    exit 1
}

# Prints "<directory on the volume> <its place on the host>" for each.
places() {
    echo "etc /etc/infisical
volumes $docker_volumes
backups /var/backups/infisical
saved /var/backups/infisical-iac
log /var/log/infisical-iac
access /var/log/infisical-access"
    for name in backup drill restore upgrade rotation scale share access-log; do
        echo "state-$name /var/lib/infisical-$name"
    done
}

uuid_of() { blkid -p -s UUID -o value "$1" 2>/dev/null || true; }
source_of() { findmnt --noheadings --first-only --output SOURCE --mountpoint "$1" 2>/dev/null || true; }

# Fails the script for a place that can't be read: it may not be empty.
is_empty() {
    test -e "$1" || test -L "$1" || return 0
    held=$(ls -A "$1") || fail "$1 can't be read: see what \`dmesg\` says of its disk"
    test -z "$held"
}

# Succeeds if the volume's directory is mounted at its place, rather than one of the host's own
# disk.
is_bound() { test -d "$2" && test -d "$mount/$1" && test "$2" -ef "$mount/$1"; }

# Reports a device that has at least one group of blocks more than its file system uses.
larger() {
    taken=$(dumpe2fs -h "$1" 2>/dev/null |
        awk -F : '/^Block count/ { count = $2 } /^Block size/ { printf "%.0f", count * $2 }')
    there=$(blockdev --getsize64 "$1")
    test "$there" -lt $((${taken:-$there} + 134217728)) ||
        echo "larger $((taken >> 20)) $((there >> 20))"
}

grow() { resize2fs "$1" >/dev/null; }

inspect() {
    if ! test -b "$1"; then
        echo absent
    else
        known=0
        blkid -p "$1" >/dev/null 2>&1 || known=$?
        if [ $known = 0 ]; then
            echo "holds $(blkid -p -s TYPE -o value "$1" || echo partitions)"
            echo "uuid $(uuid_of "$1")"
            larger "$1"
        # Status 2 of blkid means that it knows nothing of the content. Only zeros count as empty.
        elif [ $known = 2 ] && cmp -s -n 1048576 "$1" /dev/zero; then
            echo blank
        else
            echo "holds something"
        fi
    fi
    from=$(source_of $mount)
    test -z "$from" || echo "mounted $(uuid_of "${from%%\[*}")"
    places | while read -r name place; do
        ! is_bound "$name" "$place" || echo "bound $place"
    done
    test ! -e $mark || echo marked
    is_bound volumes $docker_volumes || for each in "$docker_volumes"/*/; do
        test ! -d "$each" || echo "volume $(basename "$each")"
    done
}

format() {
    test -b "$1" || fail "there is no device $1"
    test "$(inspect "$1" | head -n 1)" = blank || fail "$1 is not empty: it was not formatted"
    mkfs.ext4 -q -m 1 -L "$label" "$1"
}

# Succeeds if a place on the host's own disk has content that the volume lacks. Fails the script if
# they can't be compared.
differs() {
    compared=0
    found=$(LC_ALL=C diff -rq --no-dereference "$2" "$mount/$1" 2>&1) || compared=$?
    case $compared in
    0) return 1 ;;
    1) ;;
    *) fail "what the volume has for $2 can't be compared with the host's own \
($(echo "$found" | head -n 1)): nothing was moved or removed" ;;
    esac
    while IFS= read -r line; do
        case $line in
        "Only in $mount/"*) ;;
        *) return 0 ;;
        esac
    done <<FOUND
$found
FOUND
    return 1
}

# Moves the content of the host's place to the volume, and removes it from the host's own disk.
move() {
    is_empty "$2" && return 0
    if is_empty "$mount/$1"; then
        rm -rf "$mount/$1.new"
        cp -a "$2" "$mount/$1.new"
        sync -f "$mount/$1.new"
        rmdir "$mount/$1"
        mv "$mount/$1.new" "$mount/$1"
    elif differs "$1" "$2"; then
        case $1 in
        # A new host has begun its own log, records of its timers and list of Docker's volumes. The
        # host continues those on the volume instead.
        log | access | state-*) return 0 ;;
        volumes) ! ls -d "$2"/*/ >/dev/null 2>&1 && return 0 ;;
        esac
        fail "both the volume and the host's own disk have files for $2: find out which \
are right, and move the others away"
    fi
    # Copied content, also that of an interrupted run, must be written to the volume before it is
    # removed here. It must be removed, as the mount would only hide the keys.
    sync -f "$mount/$1"
    find "$2" -mindepth 1 -delete
}

adopt() {
    test ! -e $mark || return 0
    held=$(ls -A $mount) || fail "$mount can't be read: see what \`dmesg\` says of its disk"
    test -z "$held" || test "$held" = lost+found ||
        fail "the file system is not empty and was not made here: it is not used"
    touch $mark
}

# Unmounts the access log's own file system, which is a file in one of the places.
without_access_log() {
    systemctl stop infisical-access-disk.service 2>/dev/null || true
    for attempt in 1 2 3 4 5; do
        mountpoint --quiet $access 2>/dev/null || return 0
        umount $access 2>/dev/null || sleep 1
    done
    fail "$access can't be unmounted: end what has files open in it (\`fuser -m $access\`)"
}

mount_all() {
    from=$(source_of $mount)
    if test -z "$from"; then
        mkdir -p $mount
        is_empty $mount || fail "$mount has files in it: move them away"
        # The device may appear late after a boot.
        for attempt in $(seq 90); do
            device=$(blkid -U "$1" 2>/dev/null || true)
            test -z "$device" || break
            sleep 1
        done
        test -n "$device" || fail "the data volume with UUID $1 is not attached to this host"
        mount -o noatime,nodev,nosuid "$device" $mount
    elif [ "$(uuid_of "$from")" != "$1" ]; then
        fail "another file system is mounted at $mount"
    fi
    chmod 700 $mount
    adopt
    # The access log's mount is within one of the places. Its unit mounts it again later.
    is_bound access ${access%/*} || without_access_log
    places | while read -r name place; do
        ! is_bound "$name" "$place" || continue
        mkdir -p "$mount/$name" "$place"
        move "$name" "$place"
        mount --bind "$mount/$name" "$place"
    done
}

ours() {
    is_bound etc /etc/infisical || is_empty /etc/infisical ||
        fail "the Infisical on this host has its data on the host's own disk, not on a volume: \
make a recovery kit and a backup, and restore to a server with a volume"
}

release() {
    ours
    # Neither a run of infisical-iac nor the maintenance may be in progress.
    exec 8>>$lock
    flock --nonblock 8 || fail "the host is busy ($(head -n 1 $lock)): run again when that has ended"
    echo "by the release of the data volume since $(date)" >$lock
    for what in backup drill access-log; do
        systemctl stop "infisical-$what.timer" "infisical-$what.service" 2>/dev/null || true
    done
    if systemctl --quiet is-active docker.service; then
        # With live-restore, containers go on running without the engine.
        containers=$(docker ps --quiet)
        test -z "$containers" || docker stop $containers >/dev/null
    fi
    systemctl stop docker.socket docker.service 2>/dev/null || true
    # It keeps the logs open.
    systemctl stop infisical-logs.service 2>/dev/null || true
    without_access_log
    places | while read -r name place; do
        while is_bound "$name" "$place"; do
            # fail2ban opens the log for a moment now and then.
            umount "$place" 2>/dev/null || { sleep 1 && umount "$place"; }
        done
    done
    sync
    test -z "$(source_of $mount)" || umount $mount
    systemctl stop infisical-data.service 2>/dev/null || true
}

case $1 in
mount) mount_all "$2" ;;
*) "$@" ;;
esac

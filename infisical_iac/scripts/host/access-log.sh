# Keeps the access log within the limits of the settings, however many requests there are; run by
# systemd's units:
#
#   access-log.sh mount <size> <days> <most>    mounts a file system of a fixed size, which bounds
#                                               the log that Caddy writes; makes it if it is missing
#   access-log.sh rotate <size> <days> <most>   compresses the log once a day, and when it fills a
#                                               quarter of the file system; removes logs older than
#                                               <days>, and the oldest ones until all take at most
#                                               <most>
#
# Sizes are in MiB.
set -eu
umask 077
size=$(($2 * 1048576)) days=$3 most=$(($4 * 1048576))
directory=/var/log/infisical-access
live=$directory/live
log=$live/access.log
image=$directory/live.img
state=/var/lib/infisical-access-log
# Bytes of the disk that must stay free, since the database may be on it.
least_free=536870912

report() { echo "<3>The access log: $1" >&2; }
size_of() { stat --format=%s "$1" 2>/dev/null || echo 0; }
is_mounted() { mountpoint --quiet "$live"; }

# In a container, /dev may lack the device that the kernel names. Another process may take that
# device first, so it is tried again: the file system itself is sound.
attach() {
    for pause in 1 1 2 0; do
        device=$(losetup --find)
        test -b "$device" || mknod "$device" b 7 "${device#/dev/loop}"
        mount -o loop,noatime,nodev,nosuid,noexec "$image" "$live" && return 0
        sleep "$pause"
    done
    return 1
}

make() {
    rm -f "$image" "$image.new"
    # The log may fill the file system, so the image gets all of its blocks in advance. Blocks that
    # mkfs leaves to be zeroed after the mount would be returned to the disk.
    now=nodiscard,lazy_itable_init=0,lazy_journal_init=0
    fallocate --length "$size" "$image.new" && mkfs.ext4 -q -F -m 0 -E "$now" "$image.new" &&
        fallocate --length "$size" "$image.new" &&
        sync "$image.new" && mv "$image.new" "$image"
}

# The image may still be mounted in a container. Statuses 1 and 2 mean that it was repaired.
is_sound() {
    test -z "$(losetup --noheadings --associated "$image")" || return 0
    e2fsck -p "$image" >/dev/null && checked=0 || checked=$?
    test $checked -le 2
}

mount_image() {
    if [ -e "$image" ] && [ "$(size_of "$image")" != "$size" ]; then
        # Its log is compressed and kept with the older ones.
        if attach; then
            compress && umount "$live" || return 1
        fi
        rm -f "$image"
    fi
    if [ -e "$image" ]; then
        ! is_sound || ! attach 2>/dev/null || return 0
        report "its file system is damaged and made again; lines since the last rotation are lost"
    fi
    make && attach
}

mount_live() {
    is_mounted && return 0
    mkdir -p "$live"
    if ! mount_image; then
        memory=$((size < 67108864 ? size : 67108864))
        mount -t tmpfs -o size=$memory,mode=750,nodev,nosuid,noexec tmpfs "$live"
        report "it can't have a file system of its own, and is in memory until it is rotated"
    fi
    chmod 750 "$directory" "$live"
    # fail2ban does not start if the log is missing.
    test -e "$log" || : >"$log"
}

# Lists the older logs, the oldest first, including those of earlier versions.
history() { find "$directory" -maxdepth 1 -name 'access.log*' -type f -printf '%T@ %s %p\n' | sort -n; }

free() { echo $(($(stat --file-system --format='%a * %S' "$directory"))); }

# Removes the oldest logs until $1 more bytes fit.
free_bytes() {
    history | awk -v sum="$(history | awk '{ sum += $2 } END { printf "%.0f", sum }')" \
        -v allowed=$((most - $(size_of "$image") - $1)) -v missing=$((least_free + $1 - $(free))) \
        'sum > allowed || missing > 0 { print $3; sum -= $2; missing -= $2 }' |
        xargs --no-run-if-empty rm -f --
}

# Caddy keeps the file open and can't be made to reopen it. Lines that it writes meanwhile are
# copied too; only those of the moment before the file is truncated are lost.
compress() {
    name=$directory/access.log-$(date +%Y%m%d-%H%M%S)
    test ! -e "$name.gz" || name=$name-$$
    taken=0
    for attempt in 1 2 3 4; do
        written=$(size_of "$log")
        more=$((written - taken))
        test $more -gt 0 || break
        free_bytes $more
        if [ "$(free)" -lt $((least_free + more)) ]; then
            report "the disk has less than 512 MiB free, so it is not rotated, and ends once it is full"
            rm -f "$name.new"
            return 0
        fi
        tail --bytes=+$((taken + 1)) "$log" | head --bytes=$more | gzip >>"$name.new" || return 1
        taken=$written
    done
    test $taken -gt 0 || return 0
    touch --reference="$log" "$name.new"
    sync "$name.new" && mv "$name.new" "$name.gz" || return 1
    truncate --size=0 "$log"
}

is_due() {
    written=$(size_of "$log")
    test "$written" -gt 0 || return 1
    test -e "$state/day" || date +%F >"$state/day"
    test "$(cat "$state/day")" = "$(date +%F)" || return 0
    test "$written" -ge $(($(stat --file-system --format='%b * %S / 4' "$live")))
}

# Logs of other programs are rotated only by days, and strangers can fill them by failed logins.
bound_others() {
    for name in fail2ban rsyslog btmp infisical-logs; do
        configuration=/etc/logrotate.d/$name
        test -e $configuration || continue
        for file in $(sed -n 's|^\(/var/log/[A-Za-z0-9./_-]*\).*|\1|p' $configuration); do
            test "$(size_of "$file")" -gt 52428800 || continue
            logrotate --force --state "$state/others" $configuration || true
            break
        done
    done
}

rotate() {
    mkdir -p "$state"
    # Without Caddy there is no access log.
    if [ -d "$directory" ]; then
        rm -f "$directory"/access.log-*.new
        if is_due; then
            compress
            date +%F >"$state/day"
        fi
        find "$directory" -maxdepth 1 -name 'access.log*' -type f -mtime +"$days" -delete
        free_bytes 0
    fi
    bound_others
}

case $1 in
mount) mount_live ;;
*) "$1" ;;
esac

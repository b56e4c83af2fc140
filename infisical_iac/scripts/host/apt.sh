# Installs packages: apt.sh <seconds> <package>…
#
# It waits up to <seconds> for the locks of another apt, such as the daily one that a host's first boot
# starts. If a refresh of the lists fails for another reason, it is tried three times, because mirrors fail
# while they are being updated.
set -u
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a
options="--quiet=2 --option=DPkg::Lock::Timeout=$1 --option=Acquire::Retries=3"
limit=$(($(date +%s) + $1))
shift

failures=0
until said=$(apt-get $options --error-on=any update 2>&1); do
    # The timeout above is for dpkg's lock; apt has none for the lock of the lists.
    if echo "$said" | grep -q "/var/lib/apt/lists/lock"; then
        test "$(date +%s)" -lt "$limit" || failures=3
    else
        failures=$((failures + 1))
    fi
    if [ "$failures" -ge 3 ]; then
        echo "$said" >&2
        exit 1
    fi
    sleep 3
done

apt-get $options --yes --no-install-recommends \
    --option=Dpkg::Options::=--force-confdef --option=Dpkg::Options::=--force-confold install "$@"

#!/bin/sh
# Installs and starts the same as a fresh deploy, as a plain script: packages, files, keys, images,
# containers, and the wait until they are healthy. The script checks nothing first, and makes
# nothing in Infisical.
#
#   fresh.sh <ssh_config> <host> <images.tar> <compose.yaml>
set -eu
on_host() { ssh -F "$1" -o BatchMode=yes "$2" "$3"; }

on_host "$1" "$2" 'sh -s' <<'HOST'
set -eu
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/docker /etc/systemd/coredump.conf.d /etc/systemd/system.conf.d

cat >/etc/apt/apt.conf.d/52infisical-iac <<'FILE'
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
FILE
cat >/etc/sysctl.d/90-infisical-iac.conf <<'FILE'
fs.suid_dumpable = 0
vm.overcommit_memory = 1
FILE
printf '[Manager]\nDefaultLimitCORE=0\n' >/etc/systemd/system.conf.d/90-infisical-iac.conf
printf '[Coredump]\nStorage=none\nProcessSizeMax=0\n' \
    >/etc/systemd/coredump.conf.d/90-infisical-iac.conf
printf '* hard core 0\nroot hard core 0\n' >/etc/security/limits.d/90-infisical-iac.conf
cat >/etc/docker/daemon.json <<'FILE'
{
  "live-restore": true,
  "log-driver": "json-file",
  "log-opts": {"max-size": "10m", "max-file": "5"},
  "userland-proxy": false,
  "no-new-privileges": true,
  "default-ulimits": {"core": {"Name": "core", "Hard": 0, "Soft": 0}}
}
FILE

apt-get --quiet=2 update
apt-get --quiet=2 --yes --no-install-recommends install \
    ca-certificates curl unattended-upgrades systemd-timesyncd \
    docker.io docker-cli docker-compose >/dev/null
sysctl --quiet --load /etc/sysctl.d/90-infisical-iac.conf
systemctl daemon-reexec
systemctl --quiet enable --now systemd-timesyncd unattended-upgrades docker

umask 077
mkdir -p /etc/infisical/keys /etc/infisical/credentials
random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
cd /etc/infisical/keys
random 16 >encryption_key
random 32 >auth_secret
random 24 >postgres_password
random 24 >redis_password
for key in *; do echo "$(echo "$key" | tr a-z A-Z)=$(cat "$key")"; done >../.env
HOST

on_host "$1" "$2" 'docker load --quiet' <"$3"
on_host "$1" "$2" 'umask 077; cat >/etc/infisical/compose.yaml' <"$4"
on_host "$1" "$2" \
    'docker compose --project-directory /etc/infisical --project-name infisical up --detach --wait'

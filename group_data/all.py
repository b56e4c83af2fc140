"""Every setting with its default and one line on it.

Change nothing here: put what differs into `group_data/<inventory>.py` (for a first deploy
`group_data/hetzner.py`), or pass it once with `--data name=value`.
"""

# The version of these settings, for which `group_data/<inventory>.py` was written.
schema_version = 1

# Where people and services reach Infisical: scheme, host and port, no path.
site_url = "http://127.0.0.1:8080"
# The first administrator's e-mail address. Required.
admin_email = ""
# The organization that the first run makes inside Infisical.
organization = "ChainAlign"

# The release of Infisical, pinned; set the digest too and Docker accepts no other bytes.
infisical_image = "infisical/infisical"
infisical_version = "v0.165.16"
infisical_digest = ""
# PostgreSQL and Redis, pinned; `name:version@sha256:…` pins the bytes.
postgres_image = "postgres:17.11"
redis_image = "redis:8.2.3"
# Image archives on this machine (made by `docker save`) for hosts without a registry.
image_archives: tuple[str, ...] = ()
# How many releases stay on the host to go back to, each with its data of that time.
keep_releases = 3

# The port on the host's loopback address; nothing else is published.
http_port = 8080
# Limits of the containers: memory in megabytes (m) or gigabytes (g), CPUs.
infisical_memory = "1536m"
infisical_cpus = 2.0
postgres_memory = "1g"
redis_memory = "256m"
# Infisical's root file system is read-only; False for an image that must write outside /tmp.
infisical_read_only = True
# Addresses whose X-Forwarded-For is believed: a proxy on the host, through Docker's bridges.
trusted_proxy_cidrs = ("127.0.0.0/8", "172.16.0.0/12")

# The Docker engine: "distro" (Debian's or Ubuntu's packages) or "docker-ce" (Docker's own).
docker_source = "distro"
# Swap can hold secrets in clear: "off" turns it off unless it is encrypted, "keep" leaves it.
swap = "off"

# How an identity is kept to its own folder: "privilege", or "viewer" (reads all environments).
isolation = "privilege"
# What should be inside Infisical: project, environments, services.
workspace_file = "group_data/chainalign.yaml"

# Where backups go: directories on the host, `sftp:user@host:path` (with host_key, and port) or
# `s3:https://host/bucket`; see docs/backup.md.
backup_targets = ({"name": "local", "repository": "/var/backups/infisical"},)
# When, as systemd's OnCalendar and at least daily; then seconds of a random delay.
backup_schedule = "*-*-* 02:30:00"
backup_random_delay = 1800
# How many daily, weekly and monthly snapshots stay.
backup_keep = {"daily": 7, "weekly": 5, "monthly": 12}
# True puts the key that decrypts all secrets beside them: whoever has the repository and its
# password reads everything.
backup_with_encryption_key = False
# Where a failed backup or drill is posted, as JSON with a `text`; empty for nowhere.
backup_webhook = ""
# When the latest snapshot is restored in a drill, at least monthly; the random delay counts too.
drill_schedule = "*-*-01 04:30:00"

# Who can open recovery kits: public keys of age or SSH; `--recipient` wins.
recovery_recipients: tuple[str, ...] = ()

# Seconds: for apt's locks and cloud-init; for the stack to become healthy.
apt_timeout = 300
start_timeout = 300
# Gigabytes that must be free before a first deploy.
minimum_free_disk_gb = 8.0

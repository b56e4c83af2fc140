"""Every setting with its default and one line on it.

Change nothing here: put what differs into `group_data/<inventory>.py` (for a first deploy
`group_data/hetzner.py`), or pass it once with `--data name=value`.
"""

# The version of these settings, for which `group_data/<inventory>.py` was written.
schema_version = 1

# Where people and services reach Infisical: scheme, host and port, no path.
site_url = "http://127.0.0.1:8080"
# What stands before Infisical: "caddy", "traefik" (Dokploy's), "none" (a tunnel, one's own proxy).
ingress = "caddy"
# Caddy, pinned; `name:version@sha256:…` pins the bytes.
caddy_image = "caddy:2.11.7"
# Who certifies site_url, and whom it writes to: "letsencrypt", "letsencrypt-staging", "internal"
# (Caddy's own authority), or the https address of another ACME directory.
acme_ca = "letsencrypt"
acme_email = ""
# One's own certificate with its chain, and its key: PEM files on this machine, instead of ACME.
tls_certificate = ""
tls_key = ""
# Networks that people and machine identities get in from; empty: all. See docs/operate/ingress.md.
ui_networks: tuple[str, ...] = ()
machine_networks: tuple[str, ...] = ()
# Dokploy's Traefik: its network, its entry point for https, its resolver of certificates.
traefik_network = "dokploy-network"
traefik_entrypoint = "websecure"
traefik_resolver = "letsencrypt"
# The first administrator's e-mail address. Required.
admin_email = ""
# The organization that the first run makes inside Infisical.
organization = "ChainAlign"

# The release of Infisical, pinned; with a digest, Docker accepts no other bytes. Empty takes the
# digest of the release where it is known.
infisical_image = "infisical/infisical"
infisical_version = "v0.165.16"
infisical_digest = ""
# PostgreSQL and Redis, pinned; where its digest is known, a release gets it, and
# `name:version@sha256:…` gives another.
postgres_image = "postgres:17.11"
redis_image = "redis:8.2.10"
# "single" is one host; "swarm" is the same stack on three hosts or more, see docs/operate/cluster/.
topology = "single"
# Of each host of a cluster: the address at which the others reach it; empty to find it.
cluster_address = ""
# "required" refuses a cluster on kernels that can't encrypt the networks between its hosts;
# "optional" accepts that secrets pass between the hosts in clear.
overlay_encryption = "required"
# How many of Infisical a cluster runs, on as many hosts as there are.
infisical_replicas = 3
# What only a cluster runs, pinned: PostgreSQL 17 with Patroni (Spilo), etcd and HAProxy.
patroni_image = "ghcr.io/zalando/spilo-17:4.0-p3"
etcd_image = "gcr.io/etcd-development/etcd:v3.5.21"
haproxy_image = "haproxy:3.2.25"
# Image archives on this machine (made by `docker save`) for hosts without a registry.
image_archives: tuple[str, ...] = ()
# How many releases stay on the host to go back to, each with its data of that time.
keep_releases = 3

# The port on the host's loopback address; nothing else is published.
http_port = 8080
# Limits of the containers: memory in megabytes (m) or gigabytes (g), CPUs.
infisical_memory = "1536m"
# What a release needs; a lower infisical_memory is refused. Measured of the server of July 2026,
# with two thirds for its heap: out of memory while it starts with 640m, not with 768m.
infisical_memory_needed = "768m"
infisical_cpus = 2.0
postgres_memory = "1g"
redis_memory = "256m"
# Infisical's root file system is read-only; False for an image that must write outside /tmp.
infisical_read_only = True
# Addresses whose X-Forwarded-For is believed: a proxy on the host, through Docker's bridges.
trusted_proxy_cidrs = ("127.0.0.0/8", "172.16.0.0/12")

# The host's firewall: "on" drops whatever is not named here, "off" leaves the host's as it is.
firewall = "on"
# Who may reach SSH; the address that a run comes from must be among them.
ssh_networks = ("0.0.0.0/0", "::/0")
# More that is open, such as {"port": 9100, "networks": ("10.0.0.0/8",)}; `protocol` is tcp or udp.
allowed_ports: tuple[dict[str, object], ...] = ()

# The Docker engine: "distro" (Debian's or Ubuntu's packages) or "docker-ce" (Docker's own).
docker_source = "distro"
# Swap can hold secrets in clear: "off" turns it off unless it is encrypted, "keep" leaves it.
swap = "off"

# SSH with keys only, kernel parameters and more; "off" leaves them alone. See docs/operate/host.md.
hardening = "on"
# "on" has auditd record who changes keys, users and rights on the host.
auditd = "off"
# When Docker's packages are upgraded, as systemd's OnCalendar; empty leaves them to you.
maintenance_window = "Sun *-*-* 05:00:00"
# Whether the host reboots in that window if an update asks for it.
automatic_reboot = True

# How an identity is kept to its own folder: "privilege", or "viewer" (reads all environments).
isolation = "privilege"
# What should be inside Infisical: project, environments, services.
workspace_file = "group_data/chainalign.yaml"

# Where backups go: directories on the host, `sftp:user@host:path` (with host_key, and port),
# `s3:https://host/bucket` or `rest:https://host/path`; see docs/operate/backup.md.
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

# The fingerprint of the key that signs this deployment's recovery kits, as `infisical-iac
# recovery-kit` prints it: `restore` takes no kit of another key. Empty: it asks.
recovery_fingerprint = ""

# The server at Hetzner Cloud that `infisical-iac server create` makes (docs/operate/hetzner.md).
# Its name is the deployment's too: only what carries it as a label is ever changed there.
server_name = "infisical"
server_type = "cx33"
server_location = "nbg1"
server_image = "debian-13"
# Whose keys let in as root: files of public keys, or names of keys that are at Hetzner Cloud.
server_ssh_keys: tuple[str, ...] = ()
# Gigabytes of the volume for the data, protected from deletion; 0 for none.
server_volume_gb = 20
server_ipv4 = True
server_ipv6 = True
# Hetzner's own daily images of the server's disk, for a fifth of its price; not of the volume.
server_backups = False
# Servers of one group stand on different machines; empty for none.
server_placement_group = ""
# The zone at Hetzner DNS that gets the address records of site_url's name; empty for none.
server_dns_zone = ""
# With topology "swarm", what `infisical-iac server create` makes: how many servers, server_name,
# server_name-2 and so on, and the range of the private network that they reach each other by.
servers = 3
server_network = "10.42.0.0/24"
# What stands before the nodes of a cluster: "load-balancer" (Hetzner's own, of this type), or
# "none" (the records name all nodes; or one's own).
edge = "none"
balancer_type = "lb11"
# The hosts of a cluster that is not found at Hetzner Cloud, such as
# `{"name": "one", "address": "203.0.113.7", "cluster_address": "10.0.0.1"}`; also ssh_user,
# ssh_port, ssh_key, data_volume. INFISICAL_HOSTS=a,b,c wins. See docs/operate/hetzner.md.
hosts: tuple[dict[str, object], ...] = ()
# The block device that holds Infisical's data, keys and backups, such as
# `/dev/disk/by-id/scsi-0HC_Volume_1234567`; empty: they are on the host's own disk.
data_volume = ""

# Seconds: for apt's locks and cloud-init; for the stack to become healthy.
apt_timeout = 300
start_timeout = 300
# Gigabytes that must be free before a first deploy.
minimum_free_disk_gb = 8.0

# How many days the access log stays on the host, and how many megabytes it may take; the oldest
# lines go first (`ingress: caddy`, see docs/operate/access-log.md).
access_log_keep_days = 90
access_log_max_mb = 1000

# fail2ban bans addresses whose logins fail, at Infisical and at SSH; "off" leaves it alone.
fail2ban = "on"
# How many logins may fail, and how many calls of login and admin paths may be made at all, within
# so many seconds; then for how many the address is banned. Allowed networks never are.
login_attempts = 10
login_calls = 100
login_window = 600
login_ban = 3600

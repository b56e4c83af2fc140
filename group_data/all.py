"""Every setting with its default; docs/reference/settings.md says what each means.

Change nothing here: put what differs into `group_data/<inventory>.py` (for a first deploy
`group_data/hetzner.py`), or pass it once with `--data name=value`.
"""

schema_version = 1

# The instance, and the project file: what should be inside Infisical. admin_email is required.
site_url = "http://127.0.0.1:8080"
admin_email = ""
organization = "ChainAlign"
isolation = "privilege"
workspace_file = "group_data/chainalign.yaml"
api_rate: dict[str, int] | None = None

# Ingress: "caddy", "traefik" (Dokploy's) or "none" (an SSH tunnel, your own proxy).
ingress = "caddy"
acme_ca = "letsencrypt"
acme_email = ""
tls_certificate = ""
tls_key = ""
ui_networks: tuple[str, ...] = ()
machine_networks: tuple[str, ...] = ()
trusted_proxy_cidrs = ("127.0.0.0/8", "172.16.0.0/12")
traefik_network = "dokploy-network"
traefik_entrypoint = "websecure"
traefik_resolver = "letsencrypt"

# Access log.
access_log_keep_days = 90
access_log_max_mb = 1000

# Images: a known digest is added, `name:version@sha256:…` gives another.
infisical_image = "infisical/infisical"
infisical_version = "v0.165.16"
infisical_digest = ""
postgres_image = "postgres:17.11"
redis_image = "redis:8.2.10"
caddy_image = "caddy:2.11.7"
image_archives: tuple[str, ...] = ()
registry_login: tuple[dict[str, str], ...] = ()
keep_releases = 3

# Containers: memory in megabytes (m) or gigabytes (g).
http_port = 8080
start_timeout = 300
infisical_memory = "1536m"
infisical_memory_needed = "768m"
infisical_cpus = 2.0
infisical_read_only = True
postgres_memory = "1g"
redis_memory = "256m"

# Infisical itself; secrets such as SMTP_PASSWORD are given to the first run, never written here.
smtp: dict[str, object] | None = None
login: dict[str, dict[str, str]] = {}
login_methods: tuple[str, ...] = ()
license_key = ""
extra_ca = ""
outbound_proxy = ""
no_proxy: tuple[str, ...] = ()
internal_networks: tuple[str, ...] = ()
session_token_lifetime = "15m"
session_idle_lifetime = "24h"
infisical_environment: dict[str, str] = {}
infisical_secrets: tuple[str, ...] = ()

# The host. "auto" is off where others use its Docker too, such as Dokploy or Coolify, and on else.
docker_source = "distro"
data_volume = ""
swap = "off"
minimum_free_disk_gb = 8.0
apt_timeout = 300
hardening = "auto"
auditd = "off"
maintenance_window = "auto"
automatic_reboot = True

# Firewall, and bans of addresses with failing logins; login_window and login_ban are seconds.
firewall = "auto"
ssh_networks = ("0.0.0.0/0", "::/0")
allowed_ports: tuple[dict[str, object], ...] = ()
fail2ban = "auto"
login_attempts = 10
login_calls = 100
login_window = 600
login_ban = 3600

# Backups, drills and recovery kits.
backup_targets = ({"name": "local", "repository": "/var/backups/infisical"},)
backup_schedule = "*-*-* 02:30:00"
backup_random_delay = 1800
backup_keep = {"daily": 7, "weekly": 5, "monthly": 12}
backup_with_encryption_key = False
backup_webhook = ""
drill_schedule = "*-*-01 04:30:00"
recovery_recipients: tuple[str, ...] = ()
recovery_fingerprint = ""

# Alerts and metrics that the host makes itself.
monitoring = "off"
alerts: tuple[dict[str, object], ...] = ()
alert_repeat_hours = 24
alerts_ignored: tuple[str, ...] = ()
heartbeat_url = ""
monitoring_listen: dict[str, object] | None = None
log_target = ""

# Servers at Hetzner Cloud, which `infisical-iac server create` makes.
server_name = "infisical"
server_type = "cx33"
server_location = "nbg1"
server_image = "debian-13"
server_ssh_keys: tuple[str, ...] = ()
server_volume_gb = 20
server_ipv4 = True
server_ipv6 = True
server_backups = False
server_placement_group = ""
server_dns_zone = ""

# A cluster: topology "swarm" on three hosts or more.
topology = "single"
servers = 3
server_network = "10.42.0.0/24"
edge = "none"
balancer_type = "lb11"
hosts: tuple[dict[str, object], ...] = ()
cluster_address = ""
overlay_encryption = "required"
infisical_replicas = 3
patroni_image = "ghcr.io/zalando/spilo-17:4.0-p3"
etcd_image = "gcr.io/etcd-development/etcd:v3.5.21"
haproxy_image = "haproxy:3.2.25"

# Of pyinfra's SSH connector: a server that is slow under load, or hangs up, is asked once more.
ssh_connect_retries = 1
ssh_connect_retry_min_delay = 2.0
ssh_connect_retry_max_delay = 4.0

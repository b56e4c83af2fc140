"""Set what differs from `all.py` on the production host: edit this file for a first deploy."""

schema_version = 1

# Where to log in; INFISICAL_HOST and INFISICAL_SSH_USER win over them.
# ssh_hostname = "203.0.113.7"
# ssh_user = "root"

# site_url = "https://secrets.example.com"
# ingress = "caddy"
# admin_email = "you@example.com"
# organization = "ChainAlign"
# infisical_version = "v0.165.16"

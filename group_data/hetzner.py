"""Set what differs from the defaults on the production host: edit this file for a first deploy."""

schema_version = 1

# The server and the user to log in as; INFISICAL_HOST and INFISICAL_SSH_USER override both.
# ssh_hostname = "203.0.113.7"
# ssh_user = "root"

# site_url = "https://secrets.example.com"
# ingress = "caddy"
# admin_email = "you@example.com"
# organization = "Acme"
# infisical_version = "v0.165.16"

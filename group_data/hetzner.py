"""What differs from `all.py` on the production host: edit this file for a first deploy."""

# site_url = "https://secrets.example.com"
# admin_email = "you@example.com"
# infisical_version = "v0.165.16"

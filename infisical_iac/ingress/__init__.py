"""Let people and services in from outside: by Caddy, Dokploy's Traefik, or somebody's own proxy.

Pure: what the settings may be, what is closed to whom, and the texts that say so.
"""

"""How people and services get in from outside: Caddy, Dokploy's Traefik, or somebody's own proxy.

Pure: what the settings may be, what is closed to whom, and the texts that say so.
"""

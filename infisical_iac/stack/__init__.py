"""Infisical, PostgreSQL and Redis as containers, and the ingress in front of them.

People and services connect through Caddy, Dokploy's Traefik, or the user's own proxy. Caddy writes
the access log, without any secret.
"""

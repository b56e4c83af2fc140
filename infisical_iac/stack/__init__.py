"""Infisical, PostgreSQL and Redis as containers, and the way in to them.

People and services come in through Caddy, Dokploy's Traefik, or somebody's own proxy. The proxy
writes the access log, without any secret.
"""

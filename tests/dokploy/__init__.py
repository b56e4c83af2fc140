"""A server with the part of Dokploy's API that deliveries use."""

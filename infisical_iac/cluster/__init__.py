"""A cluster: the same stack on three hosts or more, on Docker Swarm."""

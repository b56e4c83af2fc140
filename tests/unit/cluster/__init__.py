"""Tests of clusters: Swarm, the stack, etcd, PostgreSQL and Redis."""

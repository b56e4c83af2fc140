"""The access log: who asked Infisical for what, written by the proxy without any secret."""

"""The TLS of an instance, as testssl.sh sees it from outside."""

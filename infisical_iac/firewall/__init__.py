"""What of the host is reachable from outside, decided once for the host and for the cloud."""

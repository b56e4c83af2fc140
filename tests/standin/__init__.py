"""A stand-in for an Infisical server: the HTTP contract of a small part of the product."""

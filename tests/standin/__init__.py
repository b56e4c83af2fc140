"""A stand-in for an Infisical server: the same HTTP contract, a small part of the product."""

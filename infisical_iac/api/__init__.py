"""The client of Infisical's API: requests, logins, resources, and the tunnel through SSH."""

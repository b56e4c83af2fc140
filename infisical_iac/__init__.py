"""Infrastructure as code for one's own Infisical."""

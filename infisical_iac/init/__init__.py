"""A first deploy: the questions' answers as files."""

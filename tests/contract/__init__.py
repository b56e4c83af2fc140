"""The stand-in against what a real server was seen to answer."""

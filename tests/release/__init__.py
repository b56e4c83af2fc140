"""Build the files of a release: packages, their bills of materials, and checksums."""

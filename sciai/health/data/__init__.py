"""The files and records of the domain, read into arrays."""

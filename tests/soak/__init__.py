"""Faults against running votes, hostile files, clients and model servers against their readers: `make soak`."""

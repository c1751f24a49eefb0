"""Losses, metrics and what the run needs."""

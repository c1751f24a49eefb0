"""The guards of the domain: plain functions that yield findings."""

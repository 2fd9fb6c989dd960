"""Canonical forms: what counts as the same value, whatever way it was written."""

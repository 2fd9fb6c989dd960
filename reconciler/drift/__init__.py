"""Drift: what is live compared with what was applied. Nothing here can write."""

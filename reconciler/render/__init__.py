"""Saying things: plans, progress, results and problems as text and as JSON."""

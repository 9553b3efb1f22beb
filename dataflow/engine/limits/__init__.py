"""Limits: who holds places, who waits for one, and how those who wait are told."""

"""Alembic's environment: how the tables came to have the form they have."""

"""Clients that others wrote, used against our server; `scripts/clients` runs them."""

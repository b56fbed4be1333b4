"""Offers and answers: negotiation as a value. Pure functions; no transport, no clock, no socket."""

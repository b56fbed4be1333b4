"""Faces of other libraries on this stack, for the programs that were written for them."""

"""Homelake: the declaration of the lake, and the code that makes it so."""

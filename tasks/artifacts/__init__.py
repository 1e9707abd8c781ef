"""Loads and saves, one module per kind of file. Every write is atomic."""

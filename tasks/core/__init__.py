"""Nouns: pure functions and classes. No files, no logging, no globals."""

"""Verbs: one module per stage, and the commands that stand outside the DAG."""

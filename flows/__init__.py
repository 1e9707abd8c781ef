"""When to run: the Prefect flows over the graph in dvc.yaml."""

"""One script per claim that README makes: `python -m benchmarks.<topic>` prints and records it."""

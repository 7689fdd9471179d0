"""Side-by-side measurements, each one command that prints a table: python -m benchmarks.throughput, overhead, memory."""

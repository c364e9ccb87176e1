"""What a round costs, and how exact it is: run from the repository's root with ``python -m benchmarks.NAME``."""

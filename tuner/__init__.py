"""Many trials: the search over a Ray cluster, its results and its command line."""

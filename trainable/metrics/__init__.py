"""Measures of how well scores, thresholds and embeddings do, and how sure one can be of them."""

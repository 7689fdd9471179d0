"""Pairs and their images: read, checked, split, decoded, augmented; the embedded set."""

"""What a search is given: data, space and backbone, read and checked."""

"""What a sampler is shown of a study."""

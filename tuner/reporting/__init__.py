"""What a person sees: terminal, page and tables."""

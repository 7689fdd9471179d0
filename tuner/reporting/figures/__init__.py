"""The page's figures, as SVG."""

"""The model: a timm backbone cut in two, a projection head, weights, and features of the frozen part."""

"""radii: certified robustness radii by randomized smoothing."""

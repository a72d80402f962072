"""The mathematics of the rules: trade-off functions, composed privacy losses, bounds on rates of change."""

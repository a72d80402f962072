"""The largest radius at which a test was seen to hold."""

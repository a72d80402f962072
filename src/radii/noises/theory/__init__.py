"""The mathematics behind the rules of noises: trade-off functions, composition, worst directions."""

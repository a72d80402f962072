"""From votes to radii: certificates, planning, costs, and the falsifier of rules."""

from radii.certificates.certify import Certificates, certify, reachable_radius, to_norm

__all__ = ["Certificates", "certify", "reachable_radius", "to_norm"]

"""From votes to radii: certificates, planning, costs, and the falsifier of rules."""

from radii.certificates.certify import Certificates, certify, converted, reachable_radius

__all__ = ["Certificates", "certify", "converted", "reachable_radius"]

"""From certificates to accuracy tables, exports, figures and pages."""

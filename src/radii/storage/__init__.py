"""Whole files, folders here and in object stores, checked JSON and Parquet; internal."""

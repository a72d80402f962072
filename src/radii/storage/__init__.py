"""Files written whole, folders on this machine and in object stores, checked JSON and Parquet; internal."""

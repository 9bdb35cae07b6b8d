"""Results of many lines in one store: Parquet files by line and day, asked with SQL."""

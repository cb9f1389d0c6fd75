"""What a person looks at: tables, plots and one HTML page."""

"""Results as one self-contained HTML file: tables, figures and example queries with their pictures."""

"""The report: one HTML file that shows images, maps and what is guaranteed, without a network."""

"""Side-by-side measurements, one file a question; each writes `benchmarks/results/NAME.json`."""

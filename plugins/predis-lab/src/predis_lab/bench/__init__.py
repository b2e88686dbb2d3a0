"""`predis bench`: Predis beside other caches, the bars that it has to hold, and physical limits."""

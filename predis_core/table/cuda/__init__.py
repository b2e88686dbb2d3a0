"""The table in a GPU's memory: CUDA C++, and what translates, compiles and launches it."""

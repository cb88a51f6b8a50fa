"""Fixed-point solvers, the implicit gradient, and the solution a solve returns."""

//! Numerical kernels written by hand.

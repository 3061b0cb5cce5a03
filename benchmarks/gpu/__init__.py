"""The parts of bench_gpu.py, one subject each."""

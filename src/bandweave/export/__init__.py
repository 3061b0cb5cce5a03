"""Networks for other programs: ONNX graphs, checked against the network they came from."""

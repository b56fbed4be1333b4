"""The face of aiortc's names."""

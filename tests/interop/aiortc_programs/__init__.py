"""Programs in aiortc's way, as its users write them: only their imports say whose classes they use."""

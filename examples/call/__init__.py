"""A call between browsers, and with a bot: signalling server, page, bot and a demonstration."""

"""How much may be sent: arrivals told to the sender, and what the sender makes of them."""

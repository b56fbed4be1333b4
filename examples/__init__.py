"""Programs that show how rtcstack is used."""

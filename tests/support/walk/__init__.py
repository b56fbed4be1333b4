"""Random walks of two connections, each beside its model (`tests/support/model`)."""

"""DTLS 1.2 over memory BIOs, certificates and fingerprints. The only room that knows OpenSSL."""

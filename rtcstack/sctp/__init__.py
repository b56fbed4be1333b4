"""SCTP over DTLS: the association (RFC 9260), DCEP (RFC 8832) and data channels (RFC 8831)."""

//! Opens databases, buckets and mail servers: secrets, TLS, addresses.

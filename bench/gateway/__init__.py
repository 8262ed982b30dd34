"""CPU of the gateway per audited mTLS call, against Envoy and nginx in the same rounds."""

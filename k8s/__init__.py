"""The platform on Kubernetes: manifests for kustomize, and what generates part of them."""

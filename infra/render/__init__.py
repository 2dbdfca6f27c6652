"""The manifests of one cluster: knative/clusters/<name>/ through kustomize, with the gateway's configuration and the images' tags."""

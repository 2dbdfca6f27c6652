"""The product on a real Kubernetes with Knative, deployed by the commands of README's "Deploy to a cluster": `make test-cluster`."""

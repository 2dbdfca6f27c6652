"""AWS: kubeconfigs in Secrets Manager, and clusters of EKS. boto3 is imported by the first call, not at the start."""

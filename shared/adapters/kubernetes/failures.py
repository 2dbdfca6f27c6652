"""What the kubernetes client raises: ApiException where the API server refuses, HTTPError where it can't be asked.

Imported where it is needed, never at the start: the client is an extra (pyproject.toml, `reconcile`), and only the reconciler has it.
"""

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

__all__ = ["ApiException", "HTTPError"]

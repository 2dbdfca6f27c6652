"""P8's reference: the function of functions-framework's quickstart, and nothing else. Started with the framework's own command."""


def hello(request: object) -> str:
    """What functions-framework's README begins with."""
    return "Hello world!"

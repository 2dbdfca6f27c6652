"""Bearer tokens (JWT, RFC 7519) by RFC 8725: verified here, made elsewhere. PyJWT is imported by the first that comes, not at the start."""

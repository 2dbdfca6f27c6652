/* SHA-256 (log.md, "Identity"), of the OpenSSL that hashlib has loaded; where there is none, the module can't be imported. */
#ifndef SWITCHBOARD_SHA256_H
#define SWITCHBOARD_SHA256_H

#include "core.h"

/* 0, or -1 with an ImportError. */
int find_hash(void);

/* The id of a message whose event has this id, an ASCII text; `start`: the bytes that are hashed before it. */
PyObject *message_id(PyObject *start, PyObject *event_id);

/* The digest of a message with this body, bytes or None; `start`: the bytes that are hashed before it. */
PyObject *message_digest(PyObject *start, PyObject *body);

#endif

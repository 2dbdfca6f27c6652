/* What the messages of one address and source have in common on the wire: frames.py's nats_subject() and shared_lines(), kept by object.
 *
 * usual.py keeps the texts of an address, so that a party's messages have the same objects, and nothing has to be hashed to find this.
 */
#ifndef SWITCHBOARD_KEPT_H
#define SWITCHBOARD_KEPT_H

#include "fields.h"

/* Both are new references. 0, or -1 where it is for Python, with or without an exception. */
int kept_lines(PyObject *const *message, PyObject **subject, PyObject **lines);

/* The functions of frames.py that are asked. */
void bind_kept(PyObject *nats_subject, PyObject *shared_lines);

#endif

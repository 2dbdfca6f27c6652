/* The usual message in C: what shared/codec/usual.py, shared/codec/receipts.py, shared/adapters/nats/frames.py, the batch of
 * shared/adapters/redis/batch.py and functions/ways.py do to nearly all of them.
 *
 * Each function gives what the Python beside its call gives, byte for byte, or None where anything is out of the ordinary: then that Python
 * does all of it, and says what is wrong. So nothing here refuses a message, and all of this can be left out. It reads objects that were
 * validated before, never a sender's bytes as a format: no parser, no length that a sender wrote. What Python calls is declared here.
 */
#ifndef SWITCHBOARD_CORE_H
#define SWITCHBOARD_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *bind_messages(PyObject *module, PyObject *arguments);
PyObject *messages(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

PyObject *bind_frames(PyObject *module, PyObject *arguments);
PyObject *items(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *frames(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *first_batch(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

PyObject *bind_batch(PyObject *module, PyObject *arguments);
PyObject *add(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

PyObject *bind_ways(PyObject *module, PyObject *arguments);
PyObject *accepted(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

PyObject *bind_receipts(PyObject *module, PyObject *arguments);
PyObject *receipt(PyObject *module, PyObject *outcome);
PyObject *receipts(PyObject *module, PyObject *outcomes);
PyObject *stored_receipts(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *each_stored_receipt(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif

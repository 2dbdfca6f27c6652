/* items(): frames.py, encode(). */
#include "headers.h"
#include "kept.h"
#include "objects.h"

#include <string.h>

enum { O_MESSAGE, O_REVISION, O_KNOWN, O_NATS_ID, O_REPAIR, O_FIELDS };
static const char *const outgoing_names[] = {"message", "revision", "known", "nats_id", "repair"};
static Shape outgoing_shape;
static PyObject *no_bytes;

/* Headers as a str. */
static PyObject *
joined(const Headers *headers)
{
    PyObject *text = PyUnicode_New(headers->length, 127);
    if (text == NULL)
        return NULL;
    char *to = (char *)PyUnicode_1BYTE_DATA(text);
    for (int i = 0; i < HEADER_PIECES; i++) {
        memcpy(to, headers->pieces[i].at, (size_t)headers->pieces[i].length);
        to += headers->pieces[i].length;
    }
    return text;
}

/* The Item of an Outgoing, or of a Message under its own revision. NULL where it is for Python, with or without an exception. */
static PyObject *
item_of(Py_ssize_t place, PyObject *outgoing, long long max_payload)
{
    PyObject *of[O_FIELDS] = {outgoing, NULL, Py_False, Py_None, Py_False}, *message[M_FIELDS], *item = NULL, *text;
    Headers headers;
    long long revision;
    if (!Py_IS_TYPE(outgoing, (PyTypeObject *)message_shape.type) && !fields(&outgoing_shape, outgoing, of, O_FIELDS))
        return NULL;
    if (!fields(&message_shape, of[O_MESSAGE], message, M_FIELDS))
        return NULL;
    if (of[O_REVISION] == NULL)
        of[O_REVISION] = message[M_REVISION];
    if (of[O_NATS_ID] != Py_None || of[O_REPAIR] != Py_False || !number_of(of[O_REVISION], &revision))
        return NULL;
    PyObject *body = message[M_BODY] == Py_None ? no_bytes : message[M_BODY];
    if (!PyBytes_CheckExact(body))
        return NULL;
    if (headers_begin(&headers, message, revision) && (text = joined(&headers)) != NULL) {
        long long bytes = headers.length + PyBytes_GET_SIZE(body);
        PyObject *size = PyLong_FromLongLong(bytes), *index = PyLong_FromSsize_t(place);
        if (size != NULL && index != NULL && bytes + ROOM_FOR_BATCH <= max_payload) {
            PyObject *of_item[] = {index, headers.subject, text, body, size, message[M_ID], of[O_KNOWN], message[M_DIGEST]};
            item = PyObject_Vectorcall(item_shape.type, of_item, 8, NULL);
        }
        Py_XDECREF(index);
        Py_XDECREF(size);
        Py_DECREF(text);
    }
    headers_end(&headers);
    return item;
}

/* items(group, max_payload): list[Item] | None, one for each Outgoing or Message. */
PyObject *
items(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    long long max_payload;
    if (count != 2 || outgoing_shape.type == NULL) {
        PyErr_SetString(PyExc_TypeError, "a sequence and a number of bytes, after bind_frames()");
        return NULL;
    }
    PyObject *group = number_of(arguments[1], &max_payload) ? held(arguments[0]) : NULL; /* a server said the number */
    if (group == NULL)
        return left_to_python();
    PyObject *made = PyList_New(0);
    for (Py_ssize_t i = 0; made != NULL && i < PyTuple_GET_SIZE(group); i++)
        made = with(made, item_of(i, PyTuple_GET_ITEM(group, i), max_payload));
    Py_DECREF(group);
    return made != NULL ? made : left_to_python();
}

PyObject *
bind_frames(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *message, *item, *outgoing, *subject, *shared, *extensions;
    if (!PyArg_ParseTuple(arguments, "OOOOOO", &message, &item, &outgoing, &subject, &shared, &extensions))
        return NULL;
    if (no_bytes == NULL && (no_bytes = PyBytes_FromStringAndSize(NULL, 0)) == NULL)
        return NULL;
    bind_kept(subject, shared);
    bind_extension_lines(extensions);
    if (bind_message(message) < 0 || bind_item(item) < 0 || shape_of(&outgoing_shape, outgoing, outgoing_names, O_FIELDS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

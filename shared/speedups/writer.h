/* Bytes that grow. */
#ifndef SWITCHBOARD_WRITER_H
#define SWITCHBOARD_WRITER_H

#include "texts.h"

#include <string.h>

typedef struct {
    PyObject *bytes; /* NULL after an error */
    Py_ssize_t used;
} Writer;

static inline void
writer_begin(Writer *writer, Py_ssize_t expected)
{
    writer->bytes = PyBytes_FromStringAndSize(NULL, expected);
    writer->used = 0;
}

static inline void
put(Writer *writer, const char *at, Py_ssize_t length)
{
    if (writer->bytes == NULL)
        return;
    Py_ssize_t room = PyBytes_GET_SIZE(writer->bytes);
    if (length > room - writer->used) {
        if (length > PY_SSIZE_T_MAX / 4 || room > PY_SSIZE_T_MAX / 4) {
            Py_CLEAR(writer->bytes);
            PyErr_NoMemory();
            return;
        }
        if (_PyBytes_Resize(&writer->bytes, 2 * room + length) < 0)
            return; /* and it is NULL */
    }
    memcpy(PyBytes_AS_STRING(writer->bytes) + writer->used, at, (size_t)length);
    writer->used += length;
}

#define PUT(writer, literal) put(writer, literal, (Py_ssize_t)sizeof(literal) - 1)

static inline void
put_number(Writer *writer, long long number)
{
    char text[MOST_DIGITS];
    put(writer, text, write_number(text, number));
}

static inline PyObject *
writer_end(Writer *writer)
{
    if (writer->bytes != NULL)
        _PyBytes_Resize(&writer->bytes, writer->used);
    return writer->bytes;
}

static inline void
writer_drop(Writer *writer)
{
    Py_CLEAR(writer->bytes);
}

#endif

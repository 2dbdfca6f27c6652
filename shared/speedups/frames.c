/* frames(): frames.py, single_frames() and batch_frames(). */
#include "fields.h"
#include "objects.h"
#include "texts.h"
#include "writer.h"

#include <string.h>

#define MOST_BYTES (1 << 28) /* of one message: beyond it numbers are Python's to add */
#define ROOM_FOR_COMMAND 320 /* a usual command's line, the batch's headers: one allocation */

typedef struct {
    const char *batch_id; /* NULL: each on its own */
    const char *reply;
    Py_ssize_t batch_id_length, reply_length, count;
} Group;

#define BATCH_ID "Nats-Batch-Id: "
#define BATCH_SEQUENCE "\r\nNats-Batch-Sequence: "
#define BATCH_COMMIT "\r\nNats-Batch-Commit: 1"
#define LENGTH(literal) ((Py_ssize_t)sizeof(literal) - 1)

/* A text as UTF-8, which isn't kept with it: subjects are kept by the ten thousand. 0 where it is for Python. */
static int
put_utf8(Writer *writer, PyObject *text)
{
    Py_ssize_t length;
    const char *at = ascii(text, &length);
    if (at != NULL) {
        put(writer, at, length);
        return 1;
    }
    PyObject *encoded = PyUnicode_CheckExact(text) ? PyUnicode_AsUTF8String(text) : NULL;
    if (encoded == NULL)
        return 0;
    put(writer, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded));
    Py_DECREF(encoded);
    return 1;
}

/* One HPUB. 0 where it is for Python. */
static int
put_item(Writer *writer, PyObject *item, const Group *group, Py_ssize_t index)
{
    PyObject *of[I_FIELDS];
    char number[MOST_DIGITS];
    int digits = write_number(number, index + 1), last = index == group->count - 1;
    long long size;
    Py_ssize_t headers_length;
    if (!fields(&item_shape, item, of, I_FIELDS) || !number_of(of[I_SIZE], &size) || size < 0 || size > MOST_BYTES)
        return 0;
    const char *headers = ascii(of[I_HEADERS], &headers_length);
    if (headers == NULL)
        return 0;
    Py_ssize_t added = 2;
    if (group->batch_id != NULL)
        added += LENGTH(BATCH_ID) + group->batch_id_length + LENGTH(BATCH_SEQUENCE) + digits + (last ? LENGTH(BATCH_COMMIT) : 0) + 2;
    PUT(writer, "HPUB ");
    if (!put_utf8(writer, of[I_SUBJECT]))
        return 0;
    PUT(writer, " ");
    if (group->batch_id == NULL || last) {
        put(writer, group->reply, group->reply_length);
        PUT(writer, ".");
        put_number(writer, group->batch_id == NULL ? index : 0);
        PUT(writer, " ");
    }
    put_number(writer, headers_length + added);
    PUT(writer, " ");
    put_number(writer, size + added);
    PUT(writer, "\r\n");
    put(writer, headers, headers_length);
    if (group->batch_id != NULL) {
        PUT(writer, BATCH_ID);
        put(writer, group->batch_id, group->batch_id_length);
        PUT(writer, BATCH_SEQUENCE);
        put(writer, number, digits);
        if (last)
            PUT(writer, BATCH_COMMIT);
        PUT(writer, "\r\n");
    }
    PUT(writer, "\r\n");
    put(writer, PyBytes_AS_STRING(of[I_BODY]), PyBytes_GET_SIZE(of[I_BODY]));
    PUT(writer, "\r\n");
    return 1;
}

/* frames(items, batch_id, reply): bytes | None. A batch_id of None: each message on its own. */
PyObject *
frames(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Group group = {0};
    Writer writer;
    Py_ssize_t expected = 0;
    if (count != 3 || item_shape.type == NULL) {
        PyErr_SetString(PyExc_TypeError, "a list, an id or None and a reply subject, after bind_frames()");
        return NULL;
    }
    PyObject *made = arguments[0];
    if (!PyList_CheckExact(made))
        return Py_NewRef(Py_None);
    group.count = PyList_GET_SIZE(made); /* no code but this runs before the last of it was read */
    group.reply = ascii(arguments[2], &group.reply_length);
    if (arguments[1] != Py_None && (group.batch_id = ascii(arguments[1], &group.batch_id_length)) == NULL)
        return Py_NewRef(Py_None);
    if (group.reply == NULL || group.batch_id_length > 64)
        return Py_NewRef(Py_None);
    if (group.batch_id != NULL && strlen(group.batch_id) != (size_t)group.batch_id_length)
        return Py_NewRef(Py_None);
    for (Py_ssize_t i = 0; i < group.count; i++) {
        PyObject *of[I_FIELDS];
        if (!fields(&item_shape, PyList_GET_ITEM(made, i), of, I_FIELDS))
            return Py_NewRef(Py_None);
        if (!PyBytes_CheckExact(of[I_BODY]) || !PyUnicode_CheckExact(of[I_HEADERS]))
            return Py_NewRef(Py_None);
        expected += PyBytes_GET_SIZE(of[I_BODY]) + PyUnicode_GET_LENGTH(of[I_HEADERS]) + ROOM_FOR_COMMAND;
    }
    writer_begin(&writer, expected);
    for (Py_ssize_t i = 0; i < group.count; i++)
        if (!put_item(&writer, PyList_GET_ITEM(made, i), &group, i)) {
            writer_drop(&writer);
            return left_to_python();
        }
    return writer_end(&writer);
}

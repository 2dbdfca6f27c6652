/* frames(): frames.py, single_frames() and batch_frames(). first_batch(): framed.py. */
#include "fields.h"
#include "headers.h"
#include "objects.h"
#include "writer.h"

#include <string.h>

#define MOST_BYTES (1 << 28) /* of one message: beyond it numbers are Python's to add */
#define ROOM_FOR_COMMAND 320 /* a usual command's line, the batch's headers: one allocation */
#define ROOM_FOR_MESSAGE 800 /* those, and the message's own headers */

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

/* What an atomic batch adds to the headers of its message of that number, in bytes. */
static Py_ssize_t
batch_headers_length(const Group *group, int digits, int last)
{
    return LENGTH(BATCH_ID) + group->batch_id_length + LENGTH(BATCH_SEQUENCE) + digits + (last ? LENGTH(BATCH_COMMIT) : 0) + 2;
}

static void
put_batch_headers(Writer *writer, const Group *group, const char *number, int digits, int last)
{
    PUT(writer, BATCH_ID);
    put(writer, group->batch_id, group->batch_id_length);
    PUT(writer, BATCH_SEQUENCE);
    put(writer, number, digits);
    if (last)
        PUT(writer, BATCH_COMMIT);
    PUT(writer, "\r\n");
}

/* The end of a command's line. `size`: of headers and body, in bytes. */
static void
put_sizes(Writer *writer, Py_ssize_t headers, long long size)
{
    put_number(writer, headers);
    PUT(writer, " ");
    put_number(writer, size);
    PUT(writer, "\r\n");
}

/* The end of the headers, and the body. */
static void
put_body(Writer *writer, PyObject *body)
{
    PUT(writer, "\r\n");
    if (body != Py_None)
        put(writer, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body));
    PUT(writer, "\r\n");
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
    Py_ssize_t added = 2 + (group->batch_id != NULL ? batch_headers_length(group, digits, last) : 0);
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
    put_sizes(writer, headers_length + added, size + added);
    put(writer, headers, headers_length);
    if (group->batch_id != NULL)
        put_batch_headers(writer, group, number, digits, last);
    put_body(writer, of[I_BODY]);
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

/* One HPUB of a batch, of a message for the first time, and its subject into `subjects`. Where the reply goes, which the last one alone has,
 * `after` goes on. 0 where it is for Python, with or without an exception. */
static int
put_first_time(Writer *before, Writer *after, PyObject *subjects, PyObject *message, const Group *group, long long max_payload)
{
    PyObject *of[M_FIELDS];
    char number[MOST_DIGITS];
    Headers headers;
    long long revision;
    Py_ssize_t index = PyList_GET_SIZE(subjects);
    int digits = write_number(number, index + 1), last = index == group->count - 1;
    if (!fields(&message_shape, message, of, M_FIELDS) || !number_of(of[M_REVISION], &revision))
        return 0;
    if (of[M_BODY] != Py_None && !PyBytes_CheckExact(of[M_BODY]))
        return 0;
    int usual = headers_begin(&headers, of, revision);
    long long size = usual ? headers.length + (of[M_BODY] == Py_None ? 0 : PyBytes_GET_SIZE(of[M_BODY])) : 0;
    if (usual && size + ROOM_FOR_BATCH <= max_payload && size <= MOST_BYTES && PyList_Append(subjects, headers.subject) == 0) {
        Py_ssize_t added = 2 + batch_headers_length(group, digits, last);
        PUT(before, "HPUB ");
        usual = put_utf8(before, headers.subject);
        PUT(before, " ");
        Writer *writer = last ? after : before;
        if (last)
            PUT(writer, ".0 ");
        put_sizes(writer, headers.length + added, size + added);
        for (int i = 0; i < HEADER_PIECES; i++)
            put(writer, headers.pieces[i].at, headers.pieces[i].length);
        put_batch_headers(writer, group, number, digits, last);
        put_body(writer, of[M_BODY]);
    } else
        usual = 0;
    headers_end(&headers);
    return usual && before->bytes != NULL && after->bytes != NULL; /* nothing is looked up after an exception */
}

/* The bytes of all bodies. */
static long long
bodies_of(PyObject *messages, Py_ssize_t count)
{
    long long bytes = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *body = field(&message_shape, PyTuple_GET_ITEM(messages, i), M_BODY);
        bytes += body != NULL && PyBytes_CheckExact(body) ? PyBytes_GET_SIZE(body) : 0;
    }
    return bytes;
}

/* first_batch(messages, batch_id, max_payload, max_bytes): (list of subjects, bytes, bytes) | None. batch_frames() of the items of messages
 * for the first time: the reply's subject goes between the two. None where their bodies alone are over max_bytes. */
PyObject *
first_batch(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Group group = {0};
    Writer before = {NULL, 0}, after = {NULL, 0};
    long long max_payload, max_bytes;
    if (count != 4 || item_shape.type == NULL) {
        PyErr_SetString(PyExc_TypeError, "a sequence, an id and two numbers of bytes, after bind_frames()");
        return NULL;
    }
    group.batch_id = ascii(arguments[1], &group.batch_id_length);
    if (group.batch_id == NULL || group.batch_id_length > 64 || !number_of(arguments[2], &max_payload) ||
        !number_of(arguments[3], &max_bytes))
        return Py_NewRef(Py_None);
    PyObject *messages = held(arguments[0]), *made = NULL;
    group.count = messages == NULL ? 0 : PyTuple_GET_SIZE(messages);
    long long bodies = bodies_of(messages, group.count);
    PyObject *subjects = group.count == 0 || bodies > max_bytes ? NULL : PyList_New(0);
    if (subjects != NULL) {
        writer_begin(&before, (Py_ssize_t)bodies + ROOM_FOR_MESSAGE * group.count);
        writer_begin(&after, ROOM_FOR_MESSAGE);
    }
    int usual = before.bytes != NULL && after.bytes != NULL;
    for (Py_ssize_t i = 0; usual && i < group.count; i++)
        usual = put_first_time(&before, &after, subjects, PyTuple_GET_ITEM(messages, i), &group, max_payload);
    if (usual && writer_end(&before) != NULL && writer_end(&after) != NULL)
        made = PyTuple_Pack(3, subjects, before.bytes, after.bytes);
    writer_drop(&before);
    writer_drop(&after);
    Py_XDECREF(subjects);
    Py_XDECREF(messages);
    return made != NULL ? made : left_to_python();
}

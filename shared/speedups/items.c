/* items(): frames.py, encode(). */
#include "kept.h"
#include "objects.h"
#include "texts.h"

#include <string.h>

#define MAX_HEADERS 65536 /* as in frames.py, and so is the room */
#define ROOM_FOR_BATCH 160

enum { O_MESSAGE, O_REVISION, O_KNOWN, O_NATS_ID, O_REPAIR, O_FIELDS };
static const char *const outgoing_names[] = {"message", "revision", "known", "nats_id", "repair"};
static Shape outgoing_shape;
static PyObject *extension_lines; /* of frames.py */
static PyObject *no_bytes;

/* Nothing that binding.py's _NOT_IN_A_VALUE finds: all of it goes into a header as it is. */
static int
is_plain_value(const char *at, Py_ssize_t length)
{
    for (Py_ssize_t i = 0; i < length; i++)
        if (at[i] < '!' || at[i] > '~' || at[i] == '"' || at[i] == '%')
            return 0;
    return 1;
}

typedef struct {
    const char *at;
    Py_ssize_t length;
} Piece;

#define LITERAL(text) {text, (Py_ssize_t)sizeof(text) - 1}

/* An ASCII str of ASCII pieces. NULL without an exception where it is over MAX_HEADERS. */
static PyObject *
joined(const Piece *pieces, size_t count)
{
    Py_ssize_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += pieces[i].length;
    PyObject *text = length > MAX_HEADERS ? NULL : PyUnicode_New(length, 127);
    if (text == NULL)
        return NULL;
    char *to = (char *)PyUnicode_1BYTE_DATA(text);
    for (size_t i = 0; i < count; i++) {
        memcpy(to, pieces[i].at, (size_t)pieces[i].length);
        to += pieces[i].length;
    }
    return text;
}

/* binding.py, header_lines(): new, ASCII. NULL where it is for Python, with or without an exception. */
static PyObject *
headers_of(PyObject *const *message, PyObject *lines, long long revision)
{
    char uuid[UUID_LENGTH], number[MOST_DIGITS];
    Py_ssize_t id_length, time_length = 0, shared_length, more_length = 0;
    const char *event_id = ascii(message[M_EVENT_ID], &id_length), *shared, *more = "";
    const char *time = message[M_TIME] == Py_None ? "" : ascii(message[M_TIME], &time_length);
    if (event_id == NULL || time == NULL || !is_plain_value(event_id, id_length) || !is_plain_value(time, time_length))
        return NULL;
    if (id_length > MAX_CHARACTERS || time_length > MAX_CHARACTERS)
        return NULL;
    if (!PyBytes_CheckExact(message[M_ID]) || PyBytes_GET_SIZE(message[M_ID]) != 16)
        return NULL;
    if (message[M_CONTENT_TYPE] == Py_None && message[M_BODY] != Py_None)
        return NULL; /* whether it is JSON is looked up there */
    write_uuid(uuid, PyBytes_AS_STRING(message[M_ID]));
    int digits = write_number(number, revision);
    PyObject *headers = NULL, *extensions = NULL;
    if ((shared = ascii(lines, &shared_length)) == NULL)
        return NULL;
    if (message[M_EXTENSIONS] != Py_None) {
        extensions = PyObject_CallOneArg(extension_lines, message[M_EXTENSIONS]);
        if (extensions == NULL || (more = ascii(extensions, &more_length)) == NULL)
            goto done;
    }
    const Piece pieces[] = {
        {shared, shared_length}, LITERAL("ce-id: "), {event_id, id_length}, LITERAL("\r\n"),
        {"ce-time: ", time_length ? 9 : 0}, {time, time_length}, {"\r\n", time_length ? 2 : 0},
        LITERAL("ce-sbid: "), {uuid, UUID_LENGTH}, LITERAL("\r\nce-sbrevision: "), {number, digits},
        LITERAL("\r\nNats-Msg-Id: "), {uuid, UUID_LENGTH}, LITERAL("\r\n"), {more, more_length}};
    headers = joined(pieces, sizeof pieces / sizeof *pieces);
done:
    Py_XDECREF(extensions);
    return headers;
}

/* The Item of an Outgoing, or of a Message under its own revision. NULL where it is for Python, with or without an exception. */
static PyObject *
item_of(Py_ssize_t place, PyObject *outgoing, long long max_payload)
{
    PyObject *of[O_FIELDS] = {outgoing, NULL, Py_False, Py_None, Py_False}, *message[M_FIELDS], *item = NULL;
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
    PyObject *subject, *lines;
    if (kept_lines(message, &subject, &lines) < 0)
        return NULL;
    PyObject *headers = headers_of(message, lines, revision);
    Py_DECREF(lines);
    if (headers != NULL) {
        long long bytes = PyUnicode_GET_LENGTH(headers) + PyBytes_GET_SIZE(body);
        PyObject *size = PyLong_FromLongLong(bytes), *index = PyLong_FromSsize_t(place);
        if (size != NULL && index != NULL && bytes + ROOM_FOR_BATCH <= max_payload) {
            PyObject *of_item[] = {index, subject, headers, body, size, message[M_ID], of[O_KNOWN], message[M_DIGEST]};
            item = PyObject_Vectorcall(item_shape.type, of_item, 8, NULL);
        }
        Py_XDECREF(index);
        Py_XDECREF(size);
        Py_DECREF(headers);
    }
    Py_DECREF(subject);
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
    keep(&extension_lines, extensions);
    if (bind_message(message) < 0 || bind_item(item) < 0 || shape_of(&outgoing_shape, outgoing, outgoing_names, O_FIELDS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

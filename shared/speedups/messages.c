/* messages(): usual.py, messages_of(). */
#include "fields.h"
#include "objects.h"
#include "sha256.h"
#include "texts.h"

#include <limits.h>
#include <string.h>

#define MAX_DEPTH 512 /* as in usual.py */

enum {
    E_SPECVERSION, E_ID, E_SOURCE, E_TYPE, E_SUBJECT, E_TIME, E_CONTENT_TYPE, E_SCHEMA, E_TOPIC, E_TRACEPARENT, E_TRACESTATE, E_DATA,
    E_FIELDS
};
static const char *const envelope_names[] = {
    "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "topic", "traceparent", "tracestate",
    "data"};
static Shape envelope_shape;
static PyObject *address, *sender; /* of usual.py */
static PyObject *application_json;

static Py_ssize_t
count_of(const char *at, Py_ssize_t length, char wanted)
{
    Py_ssize_t count = 0;
    while (length > 0) {
        unsigned char of_piece = 0; /* so narrow that many characters are compared and counted at once */
        int piece = length < UCHAR_MAX ? (int)length : UCHAR_MAX;
        for (int i = 0; i < piece; i++)
            of_piece = (unsigned char)(of_piece + (at[i] == wanted));
        count += of_piece;
        at += piece;
        length -= piece;
    }
    return count;
}

/* The data of an event: new bytes; None where it has none. NULL where it is for Python, with or without an exception. */
static PyObject *
body_of(PyObject *data)
{
    Py_buffer view;
    PyObject *body = NULL;
    if (!PyObject_CheckBuffer(data) || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (view.len == 0)
        body = Py_NewRef(Py_None);
    else if (view.len <= INT32_MAX) /* its length is hashed in four bytes */
        body = PyBytes_FromStringAndSize(view.buf, view.len);
    PyBuffer_Release(&view);
    return body;
}

/* Whether usual.py's `len(body) > MAX_DEPTH and too_deep(body)` could be true, and how many quotes the data has. */
static int
may_be_deep(PyObject *body, Py_ssize_t *quotes)
{
    const char *at = PyBytes_AS_STRING(body);
    Py_ssize_t length = PyBytes_GET_SIZE(body);
    *quotes += count_of(at, length, '"');
    return length > 2 * MAX_DEPTH && count_of(at, length, '[') + count_of(at, length, '{') > MAX_DEPTH;
}

/* The extensions of an event, whose only ones may be a trace: its own, or the request's where it names no parent (event.py, traced()). A
 * new dict, None where there is none, NULL where a text is unusual. */
static PyObject *
trace_of(PyObject *parent, PyObject *state, PyObject *of_request, Py_ssize_t *quotes)
{
    PyObject *texts[] = {parent, state};
    const char *names[] = {"traceparent", "tracestate"};
    int of_another = parent == Py_None && of_request != Py_None;
    if (!of_another && parent == Py_None && state == Py_None)
        return Py_NewRef(Py_None);
    PyObject *trace = of_another ? PyDict_Copy(of_request) : PyDict_New();
    for (int i = 0; trace != NULL && i < 2; i++) {
        if (texts[i] == Py_None)
            continue;
        *quotes += 4;
        if (!is_short_and_printable(texts[i]) || PyDict_SetItemString(trace, names[i], texts[i]) < 0)
            Py_CLEAR(trace);
    }
    return trace;
}

static int
is_version_1(PyObject *text)
{
    Py_ssize_t length;
    const char *at = ascii(text, &length);
    return at != NULL && length == 3 && memcmp(at, "1.0", 3) == 0;
}

/* What an event has of usual.py's address() and sender(): 1, or 0 where it is unusual, or -1 with an exception, which may be Unusual. */
static int
look_up(PyObject *const *event, PyObject *org, PyObject *topic, PyObject *content_type, PyObject **found_address,
        PyObject **found_sender)
{
    PyObject *of_address[] = {org, event[E_TYPE], event[E_SUBJECT], topic, content_type, event[E_SCHEMA]};
    PyObject *of_sender[] = {org, event[E_SOURCE]};
    *found_address = PyObject_Vectorcall(address, of_address, 6, NULL);
    if (*found_address == NULL)
        return -1;
    if (!PyTuple_CheckExact(*found_address) || PyTuple_GET_SIZE(*found_address) != 8 ||
        !PyBytes_CheckExact(PyTuple_GET_ITEM(*found_address, 7)))
        return 0;
    *found_sender = PyObject_Vectorcall(sender, of_sender, 2, NULL);
    if (*found_sender == NULL)
        return -1;
    return PyTuple_CheckExact(*found_sender) && PyTuple_GET_SIZE(*found_sender) == 2 &&
           PyBytes_CheckExact(PyTuple_GET_ITEM(*found_sender, 1));
}

typedef struct {
    PyObject *org, *received_at, *door, *principal, *revision, *trace, *topic; /* trace: a dict or None */
} Context;

/* The topic an event names, or that of its context; borrowed. NULL where they differ. */
static PyObject *
topic_of(PyObject *named, PyObject *of_context)
{
    if (of_context == Py_None || of_context == named)
        return named;
    if (named == Py_None)
        return of_context;
    return PyUnicode_CheckExact(named) && PyUnicode_CheckExact(of_context) && PyUnicode_Compare(named, of_context) == 0 ? named : NULL;
}

/* The Message of an event's fields, and the quotes such an event has (usual.py, _quotes()). NULL where it is unusual, without an exception
 * unless a look-up raised one. */
static PyObject *
message_of_event(PyObject *const *event, const Context *context, Py_ssize_t *quotes)
{
    PyObject *message = NULL, *found_address = NULL, *found_sender = NULL, *id = NULL, *digest = NULL;
    if (!is_version_1(event[E_SPECVERSION]))
        return NULL;
    if (!is_short_and_printable(event[E_ID]) || PyUnicode_GET_LENGTH(event[E_ID]) == 0)
        return NULL;
    PyObject *topic = topic_of(event[E_TOPIC], context->topic);
    if (topic == NULL || (event[E_TIME] != Py_None && !is_usual_time(event[E_TIME])))
        return NULL;
    *quotes += 16 + 4 * ((event[E_SUBJECT] != Py_None) + (event[E_TIME] != Py_None) + (event[E_CONTENT_TYPE] != Py_None) +
                         (event[E_TOPIC] != Py_None) + (event[E_SCHEMA] != Py_None));
    PyObject *body = body_of(event[E_DATA]);
    if (body == NULL)
        return NULL;
    if (body != Py_None) {
        *quotes += 2;
        if (may_be_deep(body, quotes)) {
            Py_DECREF(body);
            return NULL;
        }
    }
    PyObject *content_type = body != Py_None && event[E_CONTENT_TYPE] == Py_None ? application_json : event[E_CONTENT_TYPE];
    PyObject *extensions = trace_of(event[E_TRACEPARENT], event[E_TRACESTATE], context->trace, quotes);
    if (extensions == NULL || look_up(event, context->org, topic, content_type, &found_address, &found_sender) != 1)
        goto done;
    PyObject *kept[8]; /* type, subject, topic, datacontenttype, dataschema, is JSON, hash, bytes */
    for (int i = 0; i < 8; i++)
        kept[i] = PyTuple_GET_ITEM(found_address, i);
    if (body != Py_None && kept[5] != Py_True)
        goto done;
    id = message_id(PyTuple_GET_ITEM(found_sender, 1), event[E_ID]);
    digest = message_digest(kept[7], body);
    if (id != NULL && digest != NULL) {
        PyObject *of_message[M_FIELDS] = {
            id, digest, context->org, kept[2], kept[1], PyTuple_GET_ITEM(found_sender, 0), event[E_ID], kept[0], event[E_TIME], kept[3],
            kept[4], extensions, body, context->received_at, context->door, context->principal, context->revision};
        message = PyObject_Vectorcall(message_shape.type, of_message, M_FIELDS, NULL);
    }
done:
    Py_XDECREF(digest);
    Py_XDECREF(id);
    Py_XDECREF(found_sender);
    Py_XDECREF(found_address);
    Py_XDECREF(extensions);
    Py_DECREF(body);
    return message;
}

/* The same of an envelope. */
static PyObject *
message_of(PyObject *envelope, const Context *context, Py_ssize_t *quotes)
{
    PyObject *event[E_FIELDS], *message;
    if (!fields(&envelope_shape, envelope, event, E_FIELDS))
        return NULL;
    for (int i = 0; i < E_FIELDS; i++) /* it isn't frozen, and Python runs before the last of them is read */
        Py_INCREF(event[i]);
    message = message_of_event(event, context, quotes);
    for (int i = 0; i < E_FIELDS; i++)
        Py_DECREF(event[i]);
    return message;
}

/* messages(envelopes, text, org, received_at, door, principal, revision, trace, topic): list[Message] | None. `text` is what the envelopes
 * were parsed from. */
PyObject *
messages(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 9 || envelope_shape.type == NULL) {
        PyErr_SetString(PyExc_TypeError, "nine arguments, after bind_messages()");
        return NULL;
    }
    if (!PyBytes_CheckExact(arguments[1]) || (arguments[7] != Py_None && !PyDict_CheckExact(arguments[7])))
        return Py_NewRef(Py_None);
    Py_ssize_t expected = count_of(PyBytes_AS_STRING(arguments[1]), PyBytes_GET_SIZE(arguments[1]), '"'), quotes = 0;
    const Context context = {arguments[2], arguments[3], arguments[4], arguments[5], arguments[6], arguments[7], arguments[8]};
    PyObject *envelopes = held(arguments[0]);
    if (envelopes == NULL)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    PyObject *made = PyList_New(0);
    for (Py_ssize_t i = 0; made != NULL && i < PyTuple_GET_SIZE(envelopes); i++)
        made = with(made, message_of(PyTuple_GET_ITEM(envelopes, i), &context, &quotes));
    Py_DECREF(envelopes);
    if (made != NULL && quotes == expected)
        return made;
    Py_XDECREF(made); /* or a name is there twice, or is null, or a text has a quote */
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

PyObject *
bind_messages(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *envelope, *message, *of_address, *of_sender;
    if (!PyArg_ParseTuple(arguments, "OOOO", &envelope, &message, &of_address, &of_sender))
        return NULL;
    if (application_json == NULL && (application_json = PyUnicode_InternFromString("application/json")) == NULL)
        return NULL;
    keep(&address, of_address);
    keep(&sender, of_sender);
    if (bind_message(message) < 0 || shape_of(&envelope_shape, envelope, envelope_names, E_FIELDS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

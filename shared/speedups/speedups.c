/* The usual message in C: what shared/codec/usual.py, shared/codec/receipts.py and shared/adapters/nats/frames.py do to nearly all of them.
 *
 * Each function gives what the Python beside its call gives, byte for byte, or None where anything is out of the ordinary: then that Python
 * does all of it, and says what is wrong. So nothing here refuses a message, and all of this can be left out. It reads objects that were
 * validated before, never a sender's bytes as a format: no parser, no length that a sender wrote. SHA-256 is that of the OpenSSL that
 * hashlib has loaded; where there is none, this module can't be imported.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>

#define MAX_CHARACTERS 512 /* of an id and of a trace: as in usual.py */
#define MAX_DEPTH 512
#define MAX_HEADERS 65536 /* as in frames.py, and so is the room */
#define ROOM_FOR_BATCH 160
#define MOST_BYTES (1 << 28) /* of one message: beyond it numbers are Python's to add */
#define UUID_LENGTH 36

/* ---- fields of msgspec's structs, by the offsets that their descriptors tell */

#define MOST_FIELDS 20

typedef struct {
    PyObject *type; /* NULL until bind() */
    Py_ssize_t offsets[MOST_FIELDS];
} Shape;

static void
keep(PyObject **place, PyObject *object)
{
    Py_INCREF(object);
    Py_XSETREF(*place, object);
}

static int
shape_of(Shape *shape, PyObject *type, const char *const *names, int count)
{
    Py_ssize_t offsets[MOST_FIELDS];
    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "not a class");
        return -1;
    }
    for (int i = 0; i < count; i++) {
        PyObject *found = PyObject_GetAttrString(type, names[i]);
        if (found == NULL)
            return -1;
        int is_slot = Py_IS_TYPE(found, &PyMemberDescr_Type) && PyType_IsSubtype((PyTypeObject *)type, PyDescr_TYPE(found)) &&
                      ((PyMemberDescrObject *)found)->d_member->type == T_OBJECT_EX;
        if (is_slot)
            offsets[i] = ((PyMemberDescrObject *)found)->d_member->offset;
        Py_DECREF(found);
        if (!is_slot) {
            PyErr_Format(PyExc_TypeError, "%s is no slot", names[i]);
            return -1;
        }
    }
    memcpy(shape->offsets, offsets, (size_t)count * sizeof *offsets); /* all of them at once: never one class's with another's */
    keep(&shape->type, type);
    return 0;
}

/* Borrowed. NULL for none of that class, or an attribute that was deleted. */
static inline PyObject *
field(const Shape *shape, PyObject *object, int index)
{
    return Py_IS_TYPE(object, (PyTypeObject *)shape->type) ? *(PyObject **)((char *)object + shape->offsets[index]) : NULL;
}

/* All fields, borrowed: safe for as long as the object is held where its class is frozen. 0 where one is missing, or the class is another. */
static int
fields(const Shape *shape, PyObject *object, PyObject **values, int count)
{
    for (int i = 0; i < count; i++)
        if ((values[i] = field(shape, object, i)) == NULL)
            return 0;
    return 1;
}

/* The items of a list or a tuple as a new tuple, which no other code can change meanwhile. NULL without an exception for anything else: an
 * iterator must not be used up here before Python comes to it. */
static PyObject *
held(PyObject *sequence)
{
    return PyList_CheckExact(sequence) || PyTuple_CheckExact(sequence) ? PySequence_Tuple(sequence) : NULL;
}

#define ENVELOPE "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "topic", "traceparent", "tracestate", "data"
enum { E_SPECVERSION, E_ID, E_SOURCE, E_TYPE, E_SUBJECT, E_TIME, E_CONTENT_TYPE, E_SCHEMA, E_TOPIC, E_TRACEPARENT, E_TRACESTATE, E_DATA, E_FIELDS };
static const char *const envelope_names[] = {ENVELOPE};

#define MESSAGE                                                                                                                         \
    "id", "digest", "org", "topic", "subject", "source", "event_id", "type", "time", "datacontenttype", "dataschema", "extensions",     \
        "body", "received_at", "door", "principal", "revision"
enum { M_ID, M_DIGEST, M_ORG, M_TOPIC, M_SUBJECT, M_SOURCE, M_EVENT_ID, M_TYPE, M_TIME, M_CONTENT_TYPE, M_SCHEMA, M_EXTENSIONS, M_BODY, M_RECEIVED_AT, M_DOOR, M_PRINCIPAL, M_REVISION, M_FIELDS };
static const char *const message_names[] = {MESSAGE};

enum { O_MESSAGE, O_REVISION, O_KNOWN, O_NATS_ID, O_REPAIR, O_FIELDS };
static const char *const outgoing_names[] = {"message", "revision", "known", "nats_id", "repair"};

enum { I_PLACE, I_SUBJECT, I_HEADERS, I_BODY, I_SIZE, I_FIELDS };
static const char *const item_names[] = {"place", "subject", "headers", "body", "size"};

enum { R_MESSAGE, R_REVISION, R_DELIVERIES, R_DUPLICATE, R_STATUS, R_FIELDS };
static const char *const receipt_names[] = {"message", "revision", "deliveries", "duplicate", "status"};

enum { D_BACKBONE, D_STREAM, D_SEQUENCE, D_STATUS, D_ERROR, D_FIELDS };
static const char *const delivery_names[] = {"backbone", "stream", "sequence", "status", "error"};

static Shape envelope_shape, message_shape, outgoing_shape, item_shape, receipt_shape, delivery_shape;
static PyObject *address, *sender;                       /* of usual.py */
static PyObject *nats_subject, *shared_lines, *extension_lines; /* of frames.py */
static PyObject *application_json, *no_bytes;

/* ---- texts */

/* The characters of a str that is ASCII; NULL for any other object. */
static const char *
ascii(PyObject *text, Py_ssize_t *length)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text))
        return NULL;
    *length = PyUnicode_GET_LENGTH(text);
    return (const char *)PyUnicode_1BYTE_DATA(text);
}

/* str.isprintable() of an ASCII text with at most MAX_CHARACTERS. */
static int
is_short_and_printable(PyObject *text)
{
    Py_ssize_t length;
    const char *at = ascii(text, &length);
    if (at == NULL || length > MAX_CHARACTERS)
        return 0;
    for (Py_ssize_t i = 0; i < length; i++)
        if (at[i] < 0x20 || at[i] > 0x7e)
            return 0;
    return 1;
}

static int
digits(const char *at, int count, int *value)
{
    int sum = 0;
    for (int i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return 0;
        sum = sum * 10 + (at[i] - '0');
    }
    *value = sum;
    return 1;
}

/* A timestamp in the shape nearly all have: `2026-11-27T21:30:05Z`, with one to six digits of a fraction or none, and a day that exists. */
static int
is_usual_time(PyObject *text)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    Py_ssize_t length;
    int year, month, day, hour, minute, second, fraction;
    const char *at = ascii(text, &length);
    if (at == NULL || length < 20 || length == 21 || length > 27 || at[length - 1] != 'Z')
        return 0;
    if (at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' || at[16] != ':' || at[19] != (length == 20 ? 'Z' : '.'))
        return 0;
    if (!digits(at, 4, &year) || !digits(at + 5, 2, &month) || !digits(at + 8, 2, &day) || !digits(at + 11, 2, &hour))
        return 0;
    if (!digits(at + 14, 2, &minute) || !digits(at + 17, 2, &second) || (length > 20 && !digits(at + 20, (int)length - 21, &fraction)))
        return 0;
    if (year < 1 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59)
        return 0;
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= days[month - 1] + leap;
}

#define MOST_DIGITS 20 /* of a long long, its sign included */

/* The number in decimal, at most MOST_DIGITS characters; how many. */
static int
write_number(char *to, long long number)
{
    char backwards[MOST_DIGITS];
    unsigned long long rest = number < 0 ? 0 - (unsigned long long)number : (unsigned long long)number;
    int count = 0, length = 0;
    do
        backwards[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        to[length++] = '-';
    while (count)
        to[length++] = backwards[--count];
    return length;
}

static Py_ssize_t
count_of(const char *at, Py_ssize_t length, char wanted)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < length; i++)
        count += at[i] == wanted;
    return count;
}

static void
write_uuid(char *to, const char *id)
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = hex[(unsigned char)id[i] >> 4];
        *to++ = hex[(unsigned char)id[i] & 15];
    }
}

/* ---- SHA-256 (log.md, "Identity") */

typedef union {
    uint64_t aligned;
    unsigned char bytes[512]; /* OpenSSL's has 112 */
} HashState;

static int (*hash_init)(void *);
static int (*hash_update)(void *, const void *, size_t);
static int (*hash_final)(unsigned char *, void *);

static void
hash_counted(HashState *state, const char *at, Py_ssize_t length)
{
    unsigned char big_endian[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16), (unsigned char)(length >> 8), (unsigned char)length};
    hash_update(state, big_endian, 4);
    hash_update(state, at, (size_t)length);
}

static PyObject *
message_id(PyObject *start, PyObject *event_id)
{
    HashState state;
    unsigned char hashed[32];
    Py_ssize_t length = 0;
    const char *at = ascii(event_id, &length);
    hash_init(&state);
    hash_update(&state, PyBytes_AS_STRING(start), (size_t)PyBytes_GET_SIZE(start));
    hash_counted(&state, at, length);
    hash_final(hashed, &state);
    hashed[6] = (hashed[6] & 0x0f) | 0x80; /* RFC 9562: version 8 and the variant */
    hashed[8] = (hashed[8] & 0x3f) | 0x80;
    return PyBytes_FromStringAndSize((char *)hashed, 16);
}

static PyObject *
message_digest(PyObject *start, PyObject *body)
{
    static const unsigned char absent[4] = {0xff, 0xff, 0xff, 0xff};
    HashState state;
    unsigned char hashed[32];
    hash_init(&state);
    hash_update(&state, PyBytes_AS_STRING(start), (size_t)PyBytes_GET_SIZE(start));
    if (body == Py_None)
        hash_update(&state, absent, 4);
    else
        hash_counted(&state, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body));
    hash_final(hashed, &state);
    return PyBytes_FromStringAndSize((char *)hashed, 32);
}

/* hashlib's own OpenSSL: its symbols are found through the library that links it. */
static int
find_hash(void)
{
    static const unsigned char of_abc[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                             0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    PyObject *hashlib = PyImport_ImportModule("_hashlib");
    PyObject *file = hashlib == NULL ? NULL : PyObject_GetAttrString(hashlib, "__file__");
    const char *path = file == NULL ? NULL : PyUnicode_AsUTF8(file);
    void *library = path == NULL ? NULL : dlopen(path, RTLD_LAZY | RTLD_NOLOAD); /* stays open, as hashlib does */
    Py_XDECREF(file);
    Py_XDECREF(hashlib);
    if (library != NULL) {
        void *found[] = {dlsym(library, "SHA256_Init"), dlsym(library, "SHA256_Update"), dlsym(library, "SHA256_Final")};
        memcpy(&hash_init, &found[0], sizeof hash_init); /* ISO C has no cast between the two kinds of pointer */
        memcpy(&hash_update, &found[1], sizeof hash_update);
        memcpy(&hash_final, &found[2], sizeof hash_final);
    }
    if (hash_init != NULL && hash_update != NULL && hash_final != NULL) {
        HashState state;
        unsigned char hashed[32];
        if (hash_init(&state) && hash_update(&state, "abc", 3) && hash_final(hashed, &state) && memcmp(hashed, of_abc, 32) == 0)
            return 0;
    }
    PyErr_Clear();
    PyErr_SetString(PyExc_ImportError, "hashlib has no OpenSSL with SHA256_Init, SHA256_Update and SHA256_Final");
    return -1;
}

/* ---- messages: usual.py, messages_of() */

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

/* The extensions of an event, whose only ones may be a trace: its own, or the request's where it names no parent (event.py, traced()). A new
 * dict, None where there is none, NULL where a text is unusual. */
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
look_up(PyObject *const *event, PyObject *org, PyObject *topic, PyObject *content_type, PyObject **found_address, PyObject **found_sender)
{
    PyObject *of_address[] = {org, event[E_TYPE], event[E_SUBJECT], topic, content_type, event[E_SCHEMA]};
    PyObject *of_sender[] = {org, event[E_SOURCE]};
    *found_address = PyObject_Vectorcall(address, of_address, 6, NULL);
    if (*found_address == NULL)
        return -1;
    if (!PyTuple_CheckExact(*found_address) || PyTuple_GET_SIZE(*found_address) != 8 || !PyBytes_CheckExact(PyTuple_GET_ITEM(*found_address, 7)))
        return 0;
    *found_sender = PyObject_Vectorcall(sender, of_sender, 2, NULL);
    if (*found_sender == NULL)
        return -1;
    return PyTuple_CheckExact(*found_sender) && PyTuple_GET_SIZE(*found_sender) == 2 && PyBytes_CheckExact(PyTuple_GET_ITEM(*found_sender, 1));
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

/* The list with one more, whose reference is taken; NULL, and the list is gone, where that is NULL. Never a list with holes, since Python
 * runs between two of them and can see every list there is. */
static PyObject *
with(PyObject *list, PyObject *one)
{
    if (one == NULL || PyList_Append(list, one) < 0)
        Py_CLEAR(list);
    Py_XDECREF(one);
    return list;
}

/* messages(envelopes, quotes, org, received_at, door, principal, revision, trace, topic): list[Message] | None. `quotes` are those of the
 * whole text. */
static PyObject *
messages(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 9 || envelope_shape.type == NULL) {
        PyErr_SetString(PyExc_TypeError, "nine arguments, after bind_messages()");
        return NULL;
    }
    if (arguments[7] != Py_None && !PyDict_CheckExact(arguments[7]))
        return Py_NewRef(Py_None);
    Py_ssize_t expected = PyLong_AsSsize_t(arguments[1]), quotes = 0;
    if (expected == -1 && PyErr_Occurred())
        return NULL;
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

/* ---- bytes that grow */

typedef struct {
    PyObject *bytes; /* NULL after an error */
    Py_ssize_t used;
} Writer;

static void
writer_begin(Writer *writer, Py_ssize_t expected)
{
    writer->bytes = PyBytes_FromStringAndSize(NULL, expected);
    writer->used = 0;
}

static void
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

static void
put_number(Writer *writer, long long number)
{
    char text[MOST_DIGITS];
    put(writer, text, write_number(text, number));
}

static PyObject *
writer_end(Writer *writer)
{
    if (writer->bytes != NULL)
        _PyBytes_Resize(&writer->bytes, writer->used);
    return writer->bytes;
}

static void
writer_drop(Writer *writer)
{
    Py_CLEAR(writer->bytes);
}

/* Whether it is an int that fits; never an exception. */
static int
number_of(PyObject *object, long long *number)
{
    int overflow = 0;
    if (!PyLong_CheckExact(object))
        return 0;
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return !overflow;
}

/* None for what Python is to do, exceptions included: it meets them again. Those that no code of ours raises stay. */
static PyObject *
left_to_python(void)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))
        return NULL;
    PyErr_Clear();
    return Py_NewRef(Py_None);
}

/* ---- items: frames.py, encode() */

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
headers_of(PyObject *const *message, long long revision)
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
    PyObject *of_shared[] = {message[M_TYPE], message[M_TOPIC], message[M_CONTENT_TYPE], message[M_SCHEMA], Py_False, message[M_SOURCE], message[M_SUBJECT]};
    PyObject *headers = NULL, *extensions = NULL, *lines = PyObject_Vectorcall(shared_lines, of_shared, 7, NULL);
    if (lines == NULL || (shared = ascii(lines, &shared_length)) == NULL)
        goto done;
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
    Py_XDECREF(lines);
    return headers;
}

/* The Item of an Outgoing. NULL where it is for Python, with or without an exception. */
static PyObject *
item_of(Py_ssize_t place, PyObject *outgoing, long long max_payload)
{
    PyObject *of[O_FIELDS], *message[M_FIELDS], *item = NULL;
    long long revision;
    if (!fields(&outgoing_shape, outgoing, of, O_FIELDS) || !fields(&message_shape, of[O_MESSAGE], message, M_FIELDS))
        return NULL;
    if (of[O_NATS_ID] != Py_None || of[O_REPAIR] != Py_False || !number_of(of[O_REVISION], &revision))
        return NULL;
    PyObject *body = message[M_BODY] == Py_None ? no_bytes : message[M_BODY];
    if (!PyBytes_CheckExact(body))
        return NULL;
    PyObject *of_subject[] = {message[M_ORG], message[M_SUBJECT], message[M_TOPIC]};
    PyObject *subject = PyObject_Vectorcall(nats_subject, of_subject, 3, NULL);
    PyObject *headers = subject == NULL ? NULL : headers_of(message, revision);
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
    Py_XDECREF(subject);
    return item;
}

/* items(group, max_payload): list[Item] | None, one for each Outgoing. */
static PyObject *
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

/* ---- frames: frames.py, single_frames() and batch_frames() */

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
static PyObject *
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
    if (group.reply == NULL || group.batch_id_length > 64 || (group.batch_id != NULL && strlen(group.batch_id) != (size_t)group.batch_id_length))
        return Py_NewRef(Py_None);
    for (Py_ssize_t i = 0; i < group.count; i++) {
        PyObject *of[I_FIELDS];
        if (!fields(&item_shape, PyList_GET_ITEM(made, i), of, I_FIELDS) || !PyBytes_CheckExact(of[I_BODY]) || !PyUnicode_CheckExact(of[I_HEADERS]))
            return Py_NewRef(Py_None);
        expected += PyBytes_GET_SIZE(of[I_BODY]) + PyUnicode_GET_LENGTH(of[I_HEADERS]) + 320; /* a usual command's line, the batch's headers: one allocation */
    }
    writer_begin(&writer, expected);
    for (Py_ssize_t i = 0; i < group.count; i++)
        if (!put_item(&writer, PyList_GET_ITEM(made, i), &group, i)) {
            writer_drop(&writer);
            return left_to_python();
        }
    return writer_end(&writer);
}

/* ---- receipts: receipts.py, encode_receipt() and encode_receipts() */

/* A JSON string. 0 where characters must be escaped, or it is no text. */
static int
put_text(Writer *writer, PyObject *text)
{
    Py_ssize_t length;
    const char *at = PyUnicode_CheckExact(text) ? PyUnicode_AsUTF8AndSize(text, &length) : NULL;
    if (at == NULL)
        return 0;
    for (Py_ssize_t i = 0; i < length; i++)
        if ((unsigned char)at[i] < 0x20 || at[i] == '"' || at[i] == '\\')
            return 0;
    PUT(writer, "\"");
    put(writer, at, length);
    PUT(writer, "\"");
    return 1;
}

static int
put_delivery(Writer *writer, PyObject *delivery)
{
    static const char *const keys[] = {"{\"backbone\":", ",\"stream\":", ",\"sequence\":", ",\"status\":", ",\"error\":"};
    PyObject *of[D_FIELDS];
    long long sequence;
    if (!fields(&delivery_shape, delivery, of, D_FIELDS))
        return 0;
    for (int i = 0; i < D_FIELDS; i++) {
        if (i != D_BACKBONE && of[i] == Py_None)
            continue;
        put(writer, keys[i], (Py_ssize_t)strlen(keys[i]));
        if (i == D_SEQUENCE && number_of(of[i], &sequence))
            put_number(writer, sequence);
        else if (i == D_SEQUENCE || !put_text(writer, of[i]))
            return 0;
    }
    PUT(writer, "}");
    return 1;
}

/* One receipt. 0 where it is for Python: refusals are. */
static int
put_receipt(Writer *writer, PyObject *outcome)
{
    PyObject *of[R_FIELDS], *message[M_FIELDS];
    char uuid[UUID_LENGTH];
    long long revision;
    if (!fields(&receipt_shape, outcome, of, R_FIELDS) || !fields(&message_shape, of[R_MESSAGE], message, M_FIELDS))
        return 0;
    if (!PyBytes_CheckExact(message[M_ID]) || PyBytes_GET_SIZE(message[M_ID]) != 16 || !PyBool_Check(of[R_DUPLICATE]))
        return 0;
    if (!number_of(of[R_REVISION], &revision) || !PyTuple_CheckExact(of[R_DELIVERIES]))
        return 0;
    write_uuid(uuid, PyBytes_AS_STRING(message[M_ID]));
    PUT(writer, "{\"id\":\"");
    put(writer, uuid, UUID_LENGTH);
    PUT(writer, "\",\"status\":");
    if (!put_text(writer, of[R_STATUS]))
        return 0;
    PUT(writer, ",\"duplicate\":");
    if (of[R_DUPLICATE] == Py_True)
        PUT(writer, "true");
    else
        PUT(writer, "false");
    PUT(writer, ",\"org\":");
    if (!put_text(writer, message[M_ORG]))
        return 0;
    PUT(writer, ",\"topic\":");
    if (!put_text(writer, message[M_TOPIC]))
        return 0;
    PUT(writer, ",\"subject\":");
    if (message[M_SUBJECT] == Py_None)
        PUT(writer, "null");
    else if (!put_text(writer, message[M_SUBJECT]))
        return 0;
    PUT(writer, ",\"config_revision\":");
    put_number(writer, revision);
    PUT(writer, ",\"deliveries\":[");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(of[R_DELIVERIES]); i++) {
        if (i)
            PUT(writer, ",");
        if (!put_delivery(writer, PyTuple_GET_ITEM(of[R_DELIVERIES], i)))
            return 0;
    }
    PUT(writer, "]}");
    return 1;
}

/* receipt(outcome): bytes | None. */
static PyObject *
receipt(PyObject *Py_UNUSED(module), PyObject *outcome)
{
    Writer writer;
    writer_begin(&writer, 512);
    if (put_receipt(&writer, outcome))
        return writer_end(&writer);
    writer_drop(&writer);
    return left_to_python();
}

/* receipts(outcomes): bytes | None, as `{"receipts":[...]}`. */
static PyObject *
receipts(PyObject *Py_UNUSED(module), PyObject *outcomes)
{
    Writer writer;
    if (!PyList_CheckExact(outcomes) && !PyTuple_CheckExact(outcomes))
        return Py_NewRef(Py_None);
    Py_ssize_t count = PySequence_Fast_GET_SIZE(outcomes); /* no code but this runs before the last of it was read */
    writer_begin(&writer, 512 * (count + 1));
    PUT(&writer, "{\"receipts\":[");
    for (Py_ssize_t i = 0; i < count; i++) {
        if (i)
            PUT(&writer, ",");
        if (!put_receipt(&writer, PySequence_Fast_GET_ITEM(outcomes, i))) {
            writer_drop(&writer);
            return left_to_python();
        }
    }
    PUT(&writer, "]}");
    return writer_end(&writer);
}

/* ---- what Python gives it to work with */

static PyObject *
bind_messages(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *envelope, *message, *of_address, *of_sender;
    if (!PyArg_ParseTuple(arguments, "OOOO", &envelope, &message, &of_address, &of_sender))
        return NULL;
    keep(&address, of_address);
    keep(&sender, of_sender);
    if (shape_of(&message_shape, message, message_names, M_FIELDS) < 0 || shape_of(&envelope_shape, envelope, envelope_names, E_FIELDS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
bind_frames(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *message, *item, *outgoing, *subject, *shared, *extensions;
    if (!PyArg_ParseTuple(arguments, "OOOOOO", &message, &item, &outgoing, &subject, &shared, &extensions))
        return NULL;
    keep(&nats_subject, subject);
    keep(&shared_lines, shared);
    keep(&extension_lines, extensions);
    if (shape_of(&message_shape, message, message_names, M_FIELDS) < 0 || shape_of(&item_shape, item, item_names, I_FIELDS) < 0 ||
        shape_of(&outgoing_shape, outgoing, outgoing_names, O_FIELDS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
bind_receipts(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *message, *of_receipt, *delivery;
    if (!PyArg_ParseTuple(arguments, "OOO", &message, &of_receipt, &delivery))
        return NULL;
    if (shape_of(&message_shape, message, message_names, M_FIELDS) < 0 || shape_of(&receipt_shape, of_receipt, receipt_names, R_FIELDS) < 0 ||
        shape_of(&delivery_shape, delivery, delivery_names, D_FIELDS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"bind_messages", bind_messages, METH_VARARGS, NULL},
    {"bind_frames", bind_frames, METH_VARARGS, NULL},
    {"bind_receipts", bind_receipts, METH_VARARGS, NULL},
    {"messages", (PyCFunction)(void (*)(void))messages, METH_FASTCALL, NULL},
    {"items", (PyCFunction)(void (*)(void))items, METH_FASTCALL, NULL},
    {"frames", (PyCFunction)(void (*)(void))frames, METH_FASTCALL, NULL},
    {"receipt", receipt, METH_O, NULL},
    {"receipts", receipts, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_core", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC
PyInit__core(void)
{
    application_json = PyUnicode_InternFromString("application/json");
    no_bytes = PyBytes_FromStringAndSize(NULL, 0);
    if (application_json == NULL || no_bytes == NULL || find_hash() < 0) {
        Py_CLEAR(application_json);
        Py_CLEAR(no_bytes);
        return NULL;
    }
    return PyModule_Create(&definition);
}

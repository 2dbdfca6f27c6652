/* receipt(), receipts(), stored_receipts() and each_stored_receipt(): receipts.py. */
#include "fields.h"
#include "objects.h"
#include "texts.h"
#include "writer.h"

#include <limits.h>
#include <string.h>

enum { R_MESSAGE, R_REVISION, R_DELIVERIES, R_DUPLICATE, R_STATUS, R_FIELDS };
static const char *const receipt_names[] = {"message", "revision", "deliveries", "duplicate", "status"};

enum { D_BACKBONE, D_STREAM, D_SEQUENCE, D_STATUS, D_ERROR, D_FIELDS };
static const char *const delivery_names[] = {"backbone", "stream", "sequence", "status", "error"};
static Shape receipt_shape, delivery_shape;

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

/* The beginning of a receipt. 0 where it is for Python. */
static int
put_id(Writer *writer, PyObject *id)
{
    char uuid[UUID_LENGTH];
    if (!PyBytes_CheckExact(id) || PyBytes_GET_SIZE(id) != 16)
        return 0;
    write_uuid(uuid, PyBytes_AS_STRING(id));
    PUT(writer, "{\"id\":\"");
    put(writer, uuid, UUID_LENGTH);
    PUT(writer, "\",\"status\":");
    return 1;
}

/* What is between its verdict and its deliveries. 0 where it is for Python. */
static int
put_place(Writer *writer, PyObject *const *message, long long revision)
{
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
    return 1;
}

/* One receipt. 0 where it is for Python: refusals are. */
static int
put_receipt(Writer *writer, PyObject *outcome)
{
    PyObject *of[R_FIELDS], *message[M_FIELDS];
    long long revision;
    if (!fields(&receipt_shape, outcome, of, R_FIELDS) || !fields(&message_shape, of[R_MESSAGE], message, M_FIELDS))
        return 0;
    if (!PyBool_Check(of[R_DUPLICATE]) || !number_of(of[R_REVISION], &revision) || !PyTuple_CheckExact(of[R_DELIVERIES]))
        return 0;
    if (!put_id(writer, message[M_ID]) || !put_text(writer, of[R_STATUS]))
        return 0;
    PUT(writer, ",\"duplicate\":");
    if (of[R_DUPLICATE] == Py_True)
        PUT(writer, "true");
    else
        PUT(writer, "false");
    if (!put_place(writer, message, revision))
        return 0;
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
PyObject *
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
PyObject *
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

/* The receipt of a message that a stream stored. 0 where it is for Python. */
static int
put_stored(Writer *writer, PyObject *message, const Writer *place, long long sequence)
{
    PyObject *of[M_FIELDS];
    long long revision;
    if (!fields(&message_shape, message, of, M_FIELDS) || !number_of(of[M_REVISION], &revision))
        return 0;
    if (!put_id(writer, of[M_ID]))
        return 0;
    PUT(writer, "\"accepted\",\"duplicate\":false");
    if (!put_place(writer, of, revision))
        return 0;
    put(writer, PyBytes_AS_STRING(place->bytes), place->used);
    put_number(writer, sequence);
    PUT(writer, "}]}");
    return 1;
}

/* What the deliveries of such receipts have in common: the bytes before the sequence. 0 where it is for Python. */
static int
put_stream(Writer *writer, PyObject *backbone, PyObject *stream)
{
    writer_begin(writer, 128);
    PUT(writer, "{\"backbone\":");
    if (!put_text(writer, backbone))
        return 0;
    PUT(writer, ",\"stream\":");
    if (!put_text(writer, stream))
        return 0;
    PUT(writer, ",\"sequence\":");
    return writer->bytes != NULL;
}

/* The arguments of the two that follow: 1 where all are usual, 0 where they are for Python, -1 with an exception. */
static int
stored_arguments(PyObject *const *arguments, Py_ssize_t count, long long *sequence)
{
    if (count != 4 || receipt_shape.type == NULL) {
        PyErr_SetString(PyExc_TypeError, "messages, two texts and a number, after bind_receipts()");
        return -1;
    }
    return PyList_CheckExact(arguments[0]) && number_of(arguments[3], sequence) &&
           *sequence <= LLONG_MAX - PyList_GET_SIZE(arguments[0]);
}

/* stored_receipts(messages, backbone, stream, first): bytes | None, as receipts() of new ones that have the sequences from `first` on. */
PyObject *
stored_receipts(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Writer writer = {NULL, 0}, place;
    long long sequence;
    int usual = stored_arguments(arguments, count, &sequence);
    if (usual <= 0)
        return usual < 0 ? NULL : Py_NewRef(Py_None);
    PyObject *messages = arguments[0];
    usual = put_stream(&place, arguments[1], arguments[2]);
    if (usual)
        writer_begin(&writer, 512 * (PyList_GET_SIZE(messages) + 1));
    PUT(&writer, "{\"receipts\":[");
    for (Py_ssize_t i = 0; usual && i < PyList_GET_SIZE(messages); i++) { /* no code but this runs meanwhile */
        if (i)
            PUT(&writer, ",");
        usual = put_stored(&writer, PyList_GET_ITEM(messages, i), &place, sequence + i);
    }
    writer_drop(&place);
    PUT(&writer, "]}");
    if (usual)
        return writer_end(&writer);
    writer_drop(&writer);
    return left_to_python();
}

/* each_stored_receipt(the same): list[bytes] | None, receipt() of each of them. */
PyObject *
each_stored_receipt(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Writer place;
    long long sequence;
    int usual = stored_arguments(arguments, count, &sequence);
    if (usual <= 0)
        return usual < 0 ? NULL : Py_NewRef(Py_None);
    PyObject *messages = arguments[0], *made = PyList_New(0);
    usual = put_stream(&place, arguments[1], arguments[2]);
    for (Py_ssize_t i = 0; usual && made != NULL && i < PyList_GET_SIZE(messages); i++) {
        Writer writer;
        writer_begin(&writer, 512);
        usual = put_stored(&writer, PyList_GET_ITEM(messages, i), &place, sequence + i);
        if (usual)
            made = with(made, writer_end(&writer));
        else
            writer_drop(&writer);
    }
    writer_drop(&place);
    if (usual && made != NULL)
        return made;
    Py_XDECREF(made);
    return left_to_python();
}

PyObject *
bind_receipts(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *message, *of_receipt, *delivery;
    if (!PyArg_ParseTuple(arguments, "OOO", &message, &of_receipt, &delivery))
        return NULL;
    if (bind_message(message) < 0 || shape_of(&receipt_shape, of_receipt, receipt_names, R_FIELDS) < 0 ||
        shape_of(&delivery_shape, delivery, delivery_names, D_FIELDS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* receipt() and receipts(): receipts.py, encode_receipt() and encode_receipts(). */
#include "fields.h"
#include "objects.h"
#include "texts.h"
#include "writer.h"

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

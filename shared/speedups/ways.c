/* accepted(): functions/ways.py, Ways.accepted(). */
#include "fields.h"
#include "objects.h"

enum { W_MAX_BYTES, W_TARGETS, W_UNDELIVERABLE, W_FIELDS };
static PyObject *accepted_type, *org_name, *no_shadows;

/* Whether the way of a message's place is one for it: neither too large, nor one that names an org itself. -1 with an exception. */
static int
takes(PyObject *way, PyObject *const *message)
{
    long long most;
    if (way == NULL || !PyTuple_Check(way) || PyTuple_GET_SIZE(way) != W_FIELDS || !number_of(PyTuple_GET_ITEM(way, W_MAX_BYTES), &most))
        return 0;
    if (message[M_BODY] != Py_None && (!PyBytes_CheckExact(message[M_BODY]) || PyBytes_GET_SIZE(message[M_BODY]) > most))
        return 0;
    if (message[M_EXTENSIONS] == Py_None)
        return 1;
    int names_org = PyDict_CheckExact(message[M_EXTENSIONS]) ? PyDict_Contains(message[M_EXTENSIONS], org_name) : 1;
    return names_org < 0 ? -1 : !names_org;
}

/* The record of a message. NULL where it is for Python, with or without an exception. */
static PyObject *
record_of(PyObject *message, PyObject *known, long long revision)
{
    PyObject *of[M_FIELDS], *record = NULL;
    long long own;
    if (!fields(&message_shape, message, of, M_FIELDS) || !number_of(of[M_REVISION], &own) || own != revision)
        return NULL;
    PyObject *place = PyTuple_Pack(3, of[M_ORG], of[M_TOPIC], of[M_SUBJECT]);
    PyObject *way = place == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(known, place));
    if (takes(way, of) == 1) {
        PyObject *of_record[] = {message, PyTuple_GET_ITEM(way, W_TARGETS), PyTuple_GET_ITEM(way, W_UNDELIVERABLE), Py_False, no_shadows};
        record = PyObject_Vectorcall(accepted_type, of_record, 5, NULL);
    }
    Py_XDECREF(way);
    Py_XDECREF(place);
    return record;
}

/* accepted(messages, known, revision): list[Accepted] | None. `known` has the Way of each place (org, topic, subject). */
PyObject *
accepted(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    long long revision;
    if (count != 3 || accepted_type == NULL || !PyDict_CheckExact(arguments[1]) || !number_of(arguments[2], &revision)) {
        PyErr_SetString(PyExc_TypeError, "a sequence, a dict and a number, after bind_ways()");
        return NULL;
    }
    PyObject *messages = held(arguments[0]), *made = messages == NULL ? NULL : PyList_New(0);
    for (Py_ssize_t i = 0; made != NULL && i < PyTuple_GET_SIZE(messages); i++)
        made = with(made, record_of(PyTuple_GET_ITEM(messages, i), arguments[1], revision));
    Py_XDECREF(messages);
    return made != NULL ? made : left_to_python();
}

PyObject *
bind_ways(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *message, *of_record;
    if (!PyArg_ParseTuple(arguments, "OO", &message, &of_record))
        return NULL;
    if (org_name == NULL && (org_name = PyUnicode_InternFromString("org")) == NULL)
        return NULL;
    if (no_shadows == NULL && (no_shadows = PyTuple_New(0)) == NULL)
        return NULL;
    if (bind_message(message) < 0)
        return NULL;
    keep(&accepted_type, of_record);
    Py_RETURN_NONE;
}

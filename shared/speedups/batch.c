/* add(): shared/adapters/redis/batch.py, Batch.add(). */
#include "fields.h"
#include "objects.h"

#include <stdint.h>
#include <string.h>

#define OVERHEAD 400 /* as in batch.py */
#define META 60      /* bytes: its struct ">16s32sHHII" */

enum { A_MESSAGE, A_TARGETS, A_FIELDS };
static const char *const accepted_names[] = {"message", "targets"};
static Shape accepted_shape;

typedef struct {
    PyObject *id, *digest, *org, *targets; /* borrowed of the record */
    Py_ssize_t length;
    long long revision;
} Entry;

typedef struct {
    Py_ssize_t size, longest, org, targets; /* org and targets: of the first one's, and -1 before it */
    int alike;
} Sum;

typedef struct {
    PyObject *places, *kept, *metas, *orgs, *targets; /* dict, list, bytearray, dict, dict: what the flush has so far */
} Batch;

/* What add() needs of a record. 0 where it is for Python. */
static int
read_entry(Entry *entry, PyObject *record)
{
    PyObject *of[A_FIELDS], *message[M_FIELDS];
    if (!fields(&accepted_shape, record, of, A_FIELDS) || !fields(&message_shape, of[A_MESSAGE], message, M_FIELDS))
        return 0;
    *entry = (Entry){message[M_ID], message[M_DIGEST], message[M_ORG], of[A_TARGETS], OVERHEAD, 0};
    if (!PyBytes_CheckExact(entry->id) || PyBytes_GET_SIZE(entry->id) != 16)
        return 0;
    if (!PyBytes_CheckExact(entry->digest) || PyBytes_GET_SIZE(entry->digest) != 32)
        return 0;
    if (!PyUnicode_CheckExact(entry->org) || !PyTuple_CheckExact(entry->targets))
        return 0;
    if (!number_of(message[M_REVISION], &entry->revision) || entry->revision < 0 || entry->revision > UINT32_MAX)
        return 0;
    if (message[M_BODY] == Py_None)
        return 1;
    if (!PyBytes_CheckExact(message[M_BODY]) || PyBytes_GET_SIZE(message[M_BODY]) > INT32_MAX)
        return 0;
    entry->length += PyBytes_GET_SIZE(message[M_BODY]);
    return 1;
}

static char *
put_big_endian(char *to, uint32_t number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *to++ = (char)(number >> (8 * i));
    return to;
}

/* The number that a key has in a dict of them, the next one where it is new. -1 with an exception. */
static Py_ssize_t
number_in(PyObject *dict, PyObject *key)
{
    PyObject *next = PyLong_FromSsize_t(PyDict_GET_SIZE(dict));
    PyObject *found = next == NULL ? NULL : PyDict_SetDefault(dict, key, next);
    Py_ssize_t number = found == NULL ? -1 : PyLong_AsSsize_t(found);
    Py_XDECREF(next);
    return number;
}

/* What the flush script reads of one, behind that of those before it. -1 with an exception. */
static int
add_meta(PyObject *metas, const Entry *entry, Py_ssize_t org, Py_ssize_t targets)
{
    Py_ssize_t used = PyByteArray_GET_SIZE(metas);
    if (PyByteArray_Resize(metas, used + META) < 0)
        return -1;
    char *to = PyByteArray_AS_STRING(metas) + used;
    memcpy(to, PyBytes_AS_STRING(entry->id), 16);
    memcpy(to + 16, PyBytes_AS_STRING(entry->digest), 32);
    to = put_big_endian(to + 48, (uint32_t)org, 2);
    to = put_big_endian(to, (uint32_t)targets, 2);
    to = put_big_endian(to, (uint32_t)entry->length, 4);
    put_big_endian(to, (uint32_t)entry->revision, 4);
    return 0;
}

/* The place of one record in the flush, noted there; minus one minus that of its twin. NULL with an exception. */
static PyObject *
place_of(const Batch *batch, PyObject *record, const Entry *entry, Sum *sum)
{
    Py_ssize_t place = PyList_GET_SIZE(batch->kept);
    PyObject *own = PyLong_FromSsize_t(place);
    PyObject *first = own == NULL ? NULL : PyDict_SetDefault(batch->places, entry->id, own);
    if (first == NULL)
        goto failed;
    Py_ssize_t number = PyLong_AsSsize_t(first);
    if (number != place) {
        Py_DECREF(own);
        return number == -1 && PyErr_Occurred() ? NULL : PyLong_FromSsize_t(-1 - number);
    }
    Py_ssize_t org = number_in(batch->orgs, entry->org), targets = org < 0 ? -1 : number_in(batch->targets, entry->targets);
    if (targets < 0 || add_meta(batch->metas, entry, org, targets) < 0 || PyList_Append(batch->kept, record) < 0)
        goto failed;
    if (sum->org < 0) {
        sum->org = org;
        sum->targets = targets;
    }
    sum->alike = sum->alike && org == sum->org && targets == sum->targets;
    sum->size += entry->length;
    sum->longest = entry->length > sum->longest ? entry->length : sum->longest;
    return own;
failed:
    Py_XDECREF(own);
    return NULL;
}

/* add(records, places, kept, metas, orgs, targets): (list[int], bytes, bytes of the longest, alike) | None. None: nothing was noted. */
PyObject *
add(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 6 || accepted_shape.type == NULL || !PyDict_CheckExact(arguments[1]) || !PyList_CheckExact(arguments[2]) ||
        !PyByteArray_CheckExact(arguments[3]) || !PyDict_CheckExact(arguments[4]) || !PyDict_CheckExact(arguments[5])) {
        PyErr_SetString(PyExc_TypeError, "records, a dict, a list, a bytearray and two dicts, after bind_batch()");
        return NULL;
    }
    const Batch batch = {arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]};
    PyObject *records = held(arguments[0]);
    if (records == NULL)
        return left_to_python();
    Entry entry;
    Py_ssize_t length = PyTuple_GET_SIZE(records);
    Sum sum = {0, 0, -1, -1, 1};
    int usual = PyDict_GET_SIZE(batch.orgs) + length <= UINT16_MAX && PyDict_GET_SIZE(batch.targets) + length <= UINT16_MAX;
    for (Py_ssize_t i = 0; usual && i < length; i++) /* all of them before one is noted: the others are Python's then, too */
        usual = read_entry(&entry, PyTuple_GET_ITEM(records, i));
    PyObject *answer = usual ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; answer != NULL && i < length; i++) {
        PyObject *record = PyTuple_GET_ITEM(records, i);
        answer = with(answer, read_entry(&entry, record) ? place_of(&batch, record, &entry, &sum) : NULL);
    }
    Py_DECREF(records);
    if (answer == NULL)
        return usual ? NULL : left_to_python();
    return Py_BuildValue("(NnnO)", answer, sum.size, sum.longest, sum.alike ? Py_True : Py_False);
}

PyObject *
bind_batch(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *message, *accepted;
    if (!PyArg_ParseTuple(arguments, "OO", &message, &accepted))
        return NULL;
    if (bind_message(message) < 0 || shape_of(&accepted_shape, accepted, accepted_names, A_FIELDS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

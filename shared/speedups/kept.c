#include "kept.h"
#include "objects.h"

#include <stdint.h>
#include <string.h>

#define SLOTS 1024
#define MOST_CHARACTERS 2048 /* of the lines, which have all of the key's texts in them: a few megabytes in all */
#define KEYS 7

typedef struct {
    PyObject *key[KEYS], *subject, *lines; /* owned; NULL: there is nothing */
} Slot;

static Slot slots[SLOTS];
static PyObject *nats_subject, *shared_lines;

static void
replace(Slot *slot, PyObject *const *key, PyObject *subject, PyObject *lines)
{
    Slot old = *slot;
    for (int i = 0; i < KEYS; i++)
        slot->key[i] = Py_XNewRef(key[i]);
    slot->subject = Py_XNewRef(subject);
    slot->lines = Py_XNewRef(lines);
    for (int i = 0; i < KEYS; i++) /* last: whoever runs then finds a whole slot */
        Py_XDECREF(old.key[i]);
    Py_XDECREF(old.subject);
    Py_XDECREF(old.lines);
}

static int
are_texts(PyObject *const *key)
{
    for (int i = 0; i < KEYS; i++)
        if (key[i] != Py_None && !PyUnicode_CheckExact(key[i]))
            return 0;
    return 1;
}

int
kept_lines(PyObject *const *message, PyObject **subject, PyObject **lines)
{
    /* A message without a content type has no body here, so none that is JSON. */
    PyObject *const key[KEYS] = {message[M_ORG],          message[M_SUBJECT], message[M_TOPIC], message[M_TYPE],
                                 message[M_CONTENT_TYPE], message[M_SCHEMA],  message[M_SOURCE]};
    uintptr_t mixed = 0;
    for (int i = 0; i < KEYS; i++)
        mixed = mixed * 31 + ((uintptr_t)key[i] >> 4);
    Slot *slot = &slots[(mixed ^ mixed >> 10) % SLOTS];
    if (slot->subject == NULL || memcmp(slot->key, key, sizeof key) != 0) {
        PyObject *of_subject[] = {key[0], key[1], key[2]};
        PyObject *of_lines[] = {key[3], key[2], key[4], key[5], Py_False, key[6], key[1]};
        PyObject *found = are_texts(key) ? PyObject_Vectorcall(nats_subject, of_subject, 3, NULL) : NULL;
        PyObject *shared = found == NULL ? NULL : PyObject_Vectorcall(shared_lines, of_lines, 7, NULL);
        if (shared != NULL && PyUnicode_CheckExact(found) && PyUnicode_CheckExact(shared)) {
            if (PyUnicode_GET_LENGTH(shared) <= MOST_CHARACTERS)
                replace(slot, key, found, shared);
            *subject = found;
            *lines = shared;
            return 0;
        }
        Py_XDECREF(found);
        Py_XDECREF(shared);
        return -1;
    }
    *subject = Py_NewRef(slot->subject);
    *lines = Py_NewRef(slot->lines);
    return 0;
}

void
bind_kept(PyObject *of_subject, PyObject *of_lines)
{
    PyObject *const nothing[KEYS] = {NULL};
    keep(&nats_subject, of_subject);
    keep(&shared_lines, of_lines);
    for (int i = 0; i < SLOTS; i++)
        replace(&slots[i], nothing, NULL, NULL);
}

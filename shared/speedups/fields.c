#include "fields.h"
#include "objects.h"

#include <string.h>
#include <structmember.h>

Shape message_shape, item_shape;
static const char *const message_names[] = {
    "id", "digest", "org", "topic", "subject", "source", "event_id", "type", "time", "datacontenttype", "dataschema", "extensions", "body",
    "received_at", "door", "principal", "revision"};
static const char *const item_names[] = {"place", "subject", "headers", "body", "size"};

int
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

int
bind_message(PyObject *type)
{
    return shape_of(&message_shape, type, message_names, M_FIELDS);
}

int
bind_item(PyObject *type)
{
    return shape_of(&item_shape, type, item_names, I_FIELDS);
}

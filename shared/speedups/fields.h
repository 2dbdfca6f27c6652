/* Fields of msgspec's structs, by the offsets that their descriptors tell. */
#ifndef SWITCHBOARD_FIELDS_H
#define SWITCHBOARD_FIELDS_H

#include "core.h"

#define MOST_FIELDS 20

typedef struct {
    PyObject *type; /* NULL until it is bound */
    Py_ssize_t offsets[MOST_FIELDS];
} Shape;

/* Borrowed. NULL for none of that class, or an attribute that was deleted. */
static inline PyObject *
field(const Shape *shape, PyObject *object, int index)
{
    return Py_IS_TYPE(object, (PyTypeObject *)shape->type) ? *(PyObject **)((char *)object + shape->offsets[index]) : NULL;
}

/* All fields, borrowed: safe for as long as the object is held where its class is frozen. 0 where one is missing, or the class is
 * another. */
static inline int
fields(const Shape *shape, PyObject *object, PyObject **values, int count)
{
    for (int i = 0; i < count; i++)
        if ((values[i] = field(shape, object, i)) == NULL)
            return 0;
    return 1;
}

/* Where those fields are in objects of that class, into `shape`. 0, or -1 with an exception. */
int shape_of(Shape *shape, PyObject *type, const char *const *names, int count);

/* The classes that several files read; what one file alone reads is there. */
/* shared/domain/message.py, Message */
enum {
    M_ID, M_DIGEST, M_ORG, M_TOPIC, M_SUBJECT, M_SOURCE, M_EVENT_ID, M_TYPE, M_TIME, M_CONTENT_TYPE, M_SCHEMA, M_EXTENSIONS, M_BODY,
    M_RECEIVED_AT, M_DOOR, M_PRINCIPAL, M_REVISION, M_FIELDS
};
/* shared/adapters/nats/frames.py, Item */
enum { I_PLACE, I_SUBJECT, I_HEADERS, I_BODY, I_SIZE, I_FIELDS };
extern Shape message_shape, item_shape;

/* shape_of() of those. */
int bind_message(PyObject *type);
int bind_item(PyObject *type);

#endif

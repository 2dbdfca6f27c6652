/* Objects of any kind: how they are held, read and answered. */
#ifndef SWITCHBOARD_OBJECTS_H
#define SWITCHBOARD_OBJECTS_H

#include "core.h"

static inline void
keep(PyObject **place, PyObject *object)
{
    Py_INCREF(object);
    Py_XSETREF(*place, object);
}

/* The items of a list or a tuple as a new tuple, which no other code can change meanwhile. NULL without an exception for anything else: an
 * iterator must not be used up here before Python comes to it. */
static inline PyObject *
held(PyObject *sequence)
{
    return PyList_CheckExact(sequence) || PyTuple_CheckExact(sequence) ? PySequence_Tuple(sequence) : NULL;
}

/* The list with one more, whose reference is taken; NULL, and the list is gone, where that is NULL. Never a list with holes, since Python
 * runs between two of them and can see every list there is. */
static inline PyObject *
with(PyObject *list, PyObject *one)
{
    if (one == NULL || PyList_Append(list, one) < 0)
        Py_CLEAR(list);
    Py_XDECREF(one);
    return list;
}

/* Whether it is an int that fits; never an exception. */
static inline int
number_of(PyObject *object, long long *number)
{
    int overflow = 0;
    if (!PyLong_CheckExact(object))
        return 0;
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return !overflow;
}

/* None for what Python is to do, exceptions included: it meets them again. Those that no code of ours raises stay. */
static inline PyObject *
left_to_python(void)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))
        return NULL;
    PyErr_Clear();
    return Py_NewRef(Py_None);
}

#endif

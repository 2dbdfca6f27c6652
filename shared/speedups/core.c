/* The module, as Python imports it. */
#include "core.h"
#include "sha256.h"

static PyMethodDef methods[] = {
    {"bind_messages", bind_messages, METH_VARARGS, NULL},
    {"bind_frames", bind_frames, METH_VARARGS, NULL},
    {"bind_receipts", bind_receipts, METH_VARARGS, NULL},
    {"bind_batch", bind_batch, METH_VARARGS, NULL},
    {"bind_ways", bind_ways, METH_VARARGS, NULL},
    {"accepted", (PyCFunction)(void (*)(void))accepted, METH_FASTCALL, NULL},
    {"add", (PyCFunction)(void (*)(void))add, METH_FASTCALL, NULL},
    {"messages", (PyCFunction)(void (*)(void))messages, METH_FASTCALL, NULL},
    {"items", (PyCFunction)(void (*)(void))items, METH_FASTCALL, NULL},
    {"frames", (PyCFunction)(void (*)(void))frames, METH_FASTCALL, NULL},
    {"first_batch", (PyCFunction)(void (*)(void))first_batch, METH_FASTCALL, NULL},
    {"receipt", receipt, METH_O, NULL},
    {"receipts", receipts, METH_O, NULL},
    {"stored_receipts", (PyCFunction)(void (*)(void))stored_receipts, METH_FASTCALL, NULL},
    {"each_stored_receipt", (PyCFunction)(void (*)(void))each_stored_receipt, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_core", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC
PyInit__core(void)
{
    if (find_hash() < 0)
        return NULL;
    return PyModule_Create(&definition);
}

cimport cython

cdef class Counters:
    cdef public dict requests, retries, refusals, mirrored, kept, away, failures, passed_on, _budget
    @cython.locals(row=list, place=cython.Py_ssize_t, bound=double)
    cpdef finished(self, str service, str track, str backend, int status, double seconds)
    cpdef bint may_retry(self, str service) except -1

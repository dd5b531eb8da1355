cdef class Shares:
    cdef public dict _credit
    cpdef str choose(self, dict weights)

cimport cython

cdef class AccessLog:
    cdef public object _path, _clock, _file
    cdef public list _lines
    cdef public long long _second
    cdef public str _begin
    cdef public dict _who, _quoted
    @cython.locals(now=double, second=cython.longlong, milliseconds=int, hundredths=cython.longlong, whole=cython.longlong, rest=int)
    cpdef add(self, str service, str track, str backend, str client, str method, str path, int status, object bytes, double ms, str id)
    cpdef str _text(self, str text)

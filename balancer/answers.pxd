cpdef bytes head_bytes(int status, list lines)

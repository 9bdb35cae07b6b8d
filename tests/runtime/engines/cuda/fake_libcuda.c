/* A libcuda.so.1 whose device memory is malloc: NVIDIA's bindings call it as they call the driver.
 * Each call adds its name to the file $FAKE_CUDA_LOG; the call named by $FAKE_CUDA_FAIL returns 700. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long address;

static int called(const char *name)
{
    const char *path = getenv("FAKE_CUDA_LOG"), *fail = getenv("FAKE_CUDA_FAIL");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (log) {
        fprintf(log, "%s\n", name);
        fclose(log);
    }
    return fail && strcmp(fail, name) == 0 ? 700 : 0;
}

#define CALL(name, parameters, body)   \
    static int fake_##name parameters  \
    {                                  \
        int code = called(#name);      \
        if (code)                      \
            return code;               \
        body;                          \
        return 0;                      \
    }

CALL(cuInit, (unsigned flags), (void)flags)
CALL(cuDeviceGetCount, (int *count), *count = 1)
CALL(cuDeviceGetAttribute, (int *value, int number, int device), *value = number * 10 + device)
CALL(cuDevicePrimaryCtxRetain, (void **context, int device), *context = (void *)(0x100L + device))
CALL(cuDevicePrimaryCtxRelease, (int device), (void)device)
CALL(cuCtxPushCurrent, (void *context), if (context != (void *)0x100L) return 201)
CALL(cuCtxPopCurrent, (void **context), *context = (void *)0x100L)
CALL(cuMemAlloc, (address *result, size_t size), *result = (address)malloc(size))
CALL(cuMemFree, (address memory), free((void *)memory))
CALL(cuMemHostAlloc, (void **result, size_t size, unsigned flags), *result = malloc(size); if (flags & ~2u) return 1)
CALL(cuMemFreeHost, (void *memory), free(memory))
CALL(cuMemHostGetDevicePointer, (address *result, void *memory, unsigned flags), *result = (address)memory; (void)flags)
CALL(cuMemcpyHtoDAsync, (address to, const void *from, size_t size, void *stream),
     if (stream != (void *)0x200L) return 400; memcpy((void *)to, from, size))
CALL(cuMemcpyDtoHAsync, (void *to, address from, size_t size, void *stream),
     if (stream != (void *)0x200L) return 400; memcpy(to, (void *)from, size))
CALL(cuStreamCreate, (void **stream, unsigned flags), *stream = (void *)0x200L; if (flags != 1) return 1)
CALL(cuStreamDestroy, (void *stream), (void)stream)
CALL(cuEventCreate, (void **event, unsigned flags), *event = (void *)0x300L; if (flags != 3) return 1)
CALL(cuEventDestroy, (void *event), (void)event)
CALL(cuEventRecord, (void *event, void *stream), if (event != (void *)0x300L || stream != (void *)0x200L) return 400)
CALL(cuEventSynchronize, (void *event), if (event != (void *)0x300L) return 400)
CALL(cuStreamBeginCapture, (void *stream, int mode), if (stream != (void *)0x200L || mode != 1) return 400)
CALL(cuStreamEndCapture, (void *stream, void **graph), *graph = (void *)0x400L; (void)stream)
CALL(cuGraphInstantiateWithFlags, (void **made, void *graph, address flags),
     *made = (void *)0x500L; if (graph != (void *)0x400L || flags) return 400)
CALL(cuGraphDestroy, (void *graph), if (graph != (void *)0x400L) return 400)
CALL(cuGraphLaunch, (void *graph, void *stream), if (graph != (void *)0x500L || stream != (void *)0x200L) return 400)
CALL(cuGraphExecDestroy, (void *graph), if (graph != (void *)0x500L) return 400)

#define ENTRY(name) {#name, (void *)fake_##name}

static const struct {
    const char *name;
    void *function;
} TABLE[] = {
    ENTRY(cuInit), ENTRY(cuDeviceGetCount), ENTRY(cuDeviceGetAttribute), ENTRY(cuDevicePrimaryCtxRetain),
    ENTRY(cuDevicePrimaryCtxRelease), ENTRY(cuCtxPushCurrent), ENTRY(cuCtxPopCurrent), ENTRY(cuMemAlloc),
    ENTRY(cuMemFree), ENTRY(cuMemHostAlloc), ENTRY(cuMemFreeHost), ENTRY(cuMemHostGetDevicePointer),
    ENTRY(cuMemcpyHtoDAsync), ENTRY(cuMemcpyDtoHAsync), ENTRY(cuStreamCreate), ENTRY(cuStreamDestroy),
    ENTRY(cuEventCreate), ENTRY(cuEventDestroy), ENTRY(cuEventRecord), ENTRY(cuEventSynchronize),
    ENTRY(cuStreamBeginCapture), ENTRY(cuStreamEndCapture), ENTRY(cuGraphInstantiateWithFlags), ENTRY(cuGraphDestroy),
    ENTRY(cuGraphLaunch), ENTRY(cuGraphExecDestroy),
};

int cuGetProcAddress_v2(const char *name, void **function, int version, address flags, int *status)
{
    (void)version, (void)flags;
    *function = NULL;
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++)
        if (strcmp(TABLE[i].name, name) == 0)
            *function = TABLE[i].function;
    if (strcmp(name, "cuGetProcAddress") == 0)
        *function = (void *)cuGetProcAddress_v2;
    if (status)
        *status = *function ? 0 : 1;
    return *function ? 0 : 500;
}

int cuGetProcAddress(const char *name, void **function, int version, address flags)
{
    return cuGetProcAddress_v2(name, function, version, flags, NULL);
}

int cuInit(unsigned flags) { return fake_cuInit(flags); }

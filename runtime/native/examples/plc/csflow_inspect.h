/* A function block for soft PLCs that call C, in the manner of CODESYS: one structure that task and C share, one function
 * for each cycle. inspect.st is its declaration in structured text and a task that uses it. */
#ifndef CSFLOW_INSPECT_H
#define CSFLOW_INSPECT_H

#include <csflow.h>

/* As the block inspect.st declares, variable by variable; BOOL is one byte there. */
typedef struct csflow_inspect {
    uint8_t req;             /* in: a rising edge begins a picture */
    uint8_t busy;            /* out: exactly one of BUSY, DONE and ERROR until REQ falls and the end was seen */
    uint8_t done;            /* out */
    uint8_t error;           /* out */
    uint8_t fault;           /* out: no detector, or it was called wrongly; see STATUS */
    uint8_t reserved;
    uint16_t verdict_code;   /* out: accept where it is 16#5AA5 and nowhere else */
    uint32_t deadline_ms;    /* in: from the edge; 0: none */
    int32_t status;          /* out: csflow_status */
    double score;            /* out: higher is more anomalous */
    uint32_t cycles;         /* out: counts the calls; stands still: nobody calls */
    uint32_t reserved_2;
    uint64_t detector;       /* of the block */
} csflow_inspect;

/* On the way up, in a task that may wait: opens the bundle. */
int32_t csflow_inspect_open(csflow_inspect *block, const char *bundle, const char *device);
/* Each cycle of the control task: neither waits nor allocates. `image` is borrowed as in csflow_cycle. */
void csflow_inspect_cycle(csflow_inspect *block, const csflow_image *image);
/* On the way down, in a task that may wait. */
void csflow_inspect_close(csflow_inspect *block);

#endif

#include "csflow_inspect.h"

#include <string.h>

static void set_outputs(csflow_inspect *block, const csflow_cycle_out *out) {
    block->busy = out->busy;
    block->done = out->done;
    block->error = out->error;
    block->status = out->status;
    block->cycles = out->cycles;
    block->verdict_code = out->result.verdict_code;
    block->score = out->result.score;
}

int32_t csflow_inspect_open(csflow_inspect *block, const char *bundle, const char *device) {
    csflow_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.api_version = CSFLOW_API_VERSION;
    options.device = device;
    memset(block, 0, sizeof *block);
    block->status = csflow_open(&block->detector, bundle, &options);
    block->fault = block->status != CSFLOW_OK;
    return block->status;
}

void csflow_inspect_cycle(csflow_inspect *block, const csflow_image *image) {
    csflow_cycle_in in;
    csflow_cycle_out out;
    memset(&in, 0, sizeof in);
    memset(&out, 0, sizeof out);
    in.struct_size = sizeof in;
    in.req = block->req != 0;
    in.deadline_ms = block->deadline_ms;
    out.struct_size = sizeof out;
    if (image != NULL) {
        in.image = *image;
    }
    block->fault = csflow_cycle(block->detector, &in, &out) != CSFLOW_OK;
    set_outputs(block, &out);
}

void csflow_inspect_close(csflow_inspect *block) {
    csflow_close(block->detector);
    memset(block, 0, sizeof *block);
}

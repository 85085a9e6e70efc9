/* signals: what run_wait_signal() leaves for the end of the loop. */
#pragma once

#include "runtime/uv/face.h"

void signals_close(struct uv_face *f);

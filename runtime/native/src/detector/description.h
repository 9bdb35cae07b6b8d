// What csflow_describe tells.
#pragma once

#include "bundle/calibration.h"
#include "engine/engine.h"

namespace csflow {

/// All but `distrust`.
csflow_description described(const Bundle &bundle, const Calibration &calibration, const Engine &engine);

} // namespace csflow

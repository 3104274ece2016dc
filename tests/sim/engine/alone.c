/* alone - nobody stands on the engine: its groups are drawn, and operators change their members (world.h, struct above). */
#include "tests/sim/engine/world.h"

const struct above *const world_above = NULL;

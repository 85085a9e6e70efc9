/* compact_names: the names that objects of compactions have in the state. */
#pragma once

#include "base/id.h"

enum { SHORT_NAME_MAX = 2 + ID_TEXT_LEN + 1 };       /* "p-<id>" */

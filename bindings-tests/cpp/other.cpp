// SPDX-License-Identifier: MIT OR Apache-2.0
// A second translation unit with the same header: nothing in it may be defined twice.
#include "unsandbox.hpp"

std::size_t other_translation_unit();

std::size_t other_translation_unit() { return sizeof(unsandbox::Client); }

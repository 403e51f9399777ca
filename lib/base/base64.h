/* Base 64 (RFC 4648), with padding and no line breaks. */
#pragma once

#include <stddef.h>

#include "base/buf.h"

void base64_encode(struct buf *out, const void *data, size_t len);

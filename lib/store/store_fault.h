/* Failures on demand, for tests: `fault:<rule>[,<rule>…]:<inner chain>`.
 *
 *   rule = kind "@" which "=" action
 *   kind = put | get | head | list | delete
 *   which = N (the N-th call of that kind since the store was opened, from 1)
 *         | N+ (that one and all after it) | * (all)
 *
 * Calls of the store's interface are counted, not the requests that one call
 * needs. The first rule that matches a call is what happens. Actions:
 *
 *   fail         nothing is done; ERR_IO, final
 *   unavailable  nothing is done; ERR_UNAVAILABLE, again
 *   500          the same, with the text of an HTTP 500
 *   denied       nothing is done; ERR_NOPERM
 *   full         nothing is done; ERR_CANTCREATE
 *   notfound     get, head: as if there were no such object
 *   lost         done, but the reply is lost: ERR_UNAVAILABLE, again
 *   truncate     get: half of the object, then -1 ERR_DATA;
 *                list: half of the entries, then -1 ERR_DATA
 *   short        get: half of the object as if it were whole (what no driver
 *                does, but a damaged store may)
 *   corrupt      get: one bit in the middle is wrong
 *   partial      delete: only every other key (the first stays), ERR_UNAVAILABLE
 *   kill         SIGKILL to this process, before anything is done
 *   kill-after   the same when it is done, before the caller knows
 *
 * For example fault:put@3=lost,list@*=500:posix:/tmp/x */
#pragma once

#include "base/err.h"

/* 0, or -1 ERR_CONFIG. */
int store_fault_check(const char *rules, struct err *err);

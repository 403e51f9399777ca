/* Commands for doveadm's HTTP API that travel in one request, and their answers; private to
 * this folder. Dovecot runs them one after the other and answers when all are done. */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "cluster/doveadm.h"
#include "json/json.h"

struct doveadm_batch;

struct doveadm_batch *doveadm_batch_new(void);
void doveadm_batch_free(struct doveadm_batch **batch);
#define autobatch CLEANUP(doveadm_batch_free)

/* `args` (an object) is taken over. The number of the command, from 0. */
size_t doveadm_batch_add(struct doveadm_batch *batch, const char *command, struct json *args);
size_t doveadm_batch_count(const struct doveadm_batch *batch);

/* Send them, once. 0: there is an answer to each. -1: ERR_NOPERM (the key), ERR_UNAVAILABLE
 * (unreachable, too slow, no doveadm), ERR_DATA (no JSON, cut, an answer too many or too
 * few, one to another command). */
int doveadm_batch_send(struct doveadm *doveadm, struct doveadm_batch *batch, struct err *err);

/* The exit codes of doveadm that say something. */
#define DOVEADM_NOUSER 67
#define DOVEADM_NOTFOUND 68

/* What a command printed (an array of rows, as a rule): 1. Refused: 0 with *exit_code_r (0 where
 * it was not even started) and err: ERR_TEMP with `again`, or ERR_NOPERM or ERR_UNAVAILABLE
 * where Dovecot does not allow or know the command. */
int doveadm_batch_answer(const struct doveadm_batch *batch, size_t index,
			 const struct json **content_r, int64_t *exit_code_r, struct err *err);

/* One command: 1, 0 refused (as above), -1 no answer. The content belongs to `batch`, which
 * is empty before. */
int doveadm_batch_one(struct doveadm *doveadm, struct doveadm_batch *batch, const char *command,
		      struct json *args, const struct json **content_r, int64_t *exit_code_r,
		      struct err *err);

/* Another error for an answer that is JSON, but not what it should be. Returns -1. */
int doveadm_batch_senseless(struct err *err);

/* Who asks for one user after the other, in many threads, does so in turn: then the first who got
 * no answer in time can tell the others. */
struct doveadm_turn {
	pthread_mutex_t mutex; /* guards what follows, and held while asking */
	struct err late;       /* why nobody asks any more */
};
struct doveadm_turn *doveadm_turn(struct doveadm *doveadm);

int64_t doveadm_timeout_ms(const struct doveadm *doveadm);
const char *doveadm_url(const struct doveadm *doveadm);
